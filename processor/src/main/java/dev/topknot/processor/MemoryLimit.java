package dev.topknot.processor;

import dev.topknot.dsl.Optimizer;
import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Site;
import dev.topknot.processor.model.Spec;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.Planner;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** The option {@code -Atopknot.maxMemory=8GiB}: the most that an instance in training may take. */
record MemoryLimit(OptionalLong bytes) {
  static final String OPTION = "topknot.maxMemory";

  private static final int BUFFERS_SHOWN = 3;
  private static final Pattern SIZE =
      Pattern.compile("([0-9]+(?:\\.[0-9]+)?)\\s*([KMGT]i?B|B)?", Pattern.CASE_INSENSITIVE);

  /** Reads the option; one that cannot be understood is reported and sets no limit. */
  static MemoryLimit read(Map<String, String> options, Findings findings) {
    if (!options.containsKey(OPTION)) {
      return new MemoryLimit(OptionalLong.empty());
    }
    String value = options.get(OPTION) == null ? "" : options.get(OPTION).strip();
    Matcher matcher = SIZE.matcher(value);
    String reason;
    if (!matcher.matches()) {
      reason = "it is no size in bytes";
    } else {
      BigDecimal bytes = new BigDecimal(matcher.group(1)).multiply(unit(matcher.group(2)));
      if (bytes.compareTo(BigDecimal.ONE) >= 0
          && bytes.compareTo(BigDecimal.valueOf(Long.MAX_VALUE)) <= 0) {
        return new MemoryLimit(OptionalLong.of(bytes.longValue()));
      }
      reason = "it is not between 1 byte and 2^63 - 1 bytes";
    }
    findings.add(Problem.BAD_OPTION, Site.nowhere(), OPTION, value, reason);
    return new MemoryLimit(OptionalLong.empty());
  }

  private static BigDecimal unit(String unit) {
    if (unit == null || unit.equalsIgnoreCase("B")) {
      return BigDecimal.ONE;
    }
    int power = "KMGT".indexOf(Character.toUpperCase(unit.charAt(0))) + 1;
    return BigDecimal.valueOf(unit.length() == 3 ? 1024 : 1000).pow(power);
  }

  /** Reports a plan that needs more. */
  void check(Plan plan, Site site, Findings findings) {
    if (bytes.isEmpty() || plan.bytes() <= bytes.getAsLong()) {
      return;
    }
    findings.add(
        Problem.OVER_BUDGET,
        site,
        plan.spec().name().nested(),
        exact(plan.bytes()),
        exact(bytes.getAsLong()),
        list(plan.largestBuffers(BUFFERS_SHOWN)),
        advice(plan));
  }

  private static String advice(Plan plan) {
    boolean workspace = plan.shares().get(0).name().startsWith("workspace");
    String fewer = plan.spec() instanceof ModelSpec ? "smaller batch or timesteps" : "fewer tokens";
    return (workspace
            ? "most of it grows with the tokens of a call: use " + fewer
            : "most of it grows with the parameters: use fewer or narrower experts, or a smaller"
                + " vocabulary")
        + leaner(plan)
        + ", or raise the limit";
  }

  /** What annotations could save that cost no layer its size. */
  private static String leaner(Plan plan) {
    Spec spec = plan.spec();
    List<String> choices = new ArrayList<>();
    Plan recomputing = Planner.plan(spec.with(spec.optimizer(), true));
    Plan factored = Planner.plan(spec.with(Optimizer.ADAM_FACTORED, true));
    Plan leanest = recomputing;
    if (factored.bytes() < recomputing.bytes()) {
      choices.add("optimizer = ADAM_FACTORED");
      leanest = factored;
    }
    if (recomputing.bytes() < plan.bytes()) {
      choices.add("recompute = true");
    }
    return choices.isEmpty()
        ? ""
        : "; with " + String.join(" and ", choices) + " it is " + exact(leanest.bytes());
  }

  private static String list(List<Plan.Share> shares) {
    return shares.stream()
        .map(share -> share.name() + " " + rounded(share.bytes()))
        .collect(Collectors.joining(", "));
  }

  private static String exact(long bytes) {
    return String.format(Locale.ROOT, "%s (%d bytes)", rounded(bytes), bytes);
  }

  private static String rounded(long bytes) {
    String[] units = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = bytes;
    int unit = 0;
    while (value >= 1024 && unit < units.length - 1) {
      value /= 1024;
      unit++;
    }
    return String.format(Locale.ROOT, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  }
}
