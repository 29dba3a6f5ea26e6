package dev.topknot.it.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.stream.StreamSupport;

/** {@code results.json} and {@code results.md}: what the phases left so far, in one file each. */
final class Summary {
  private static final List<String> PHASES =
      List.of(
          "device",
          "instructions",
          "recordings",
          "tests",
          "bits",
          "figures",
          "table7",
          "torch",
          "sanitizer");

  private static final double GIB = 1 << 30;

  private final ObjectNode results = Findings.JSON.createObjectNode();
  private final StringBuilder text = new StringBuilder();

  private Summary() {}

  /**
   * Writes both.
   *
   * @return whether no check of any phase failed and no phase ended badly
   */
  static boolean write(Path folder) throws IOException {
    Summary summary = new Summary();
    for (String phase : PHASES) {
      Path file = folder.resolve(phase + ".json");
      if (Files.exists(file)) {
        summary.results.set(phase, Findings.JSON.readTree(file.toFile()));
      }
    }
    Path ends = folder.resolve("phases.txt"); // PHASE STATUS SECONDS, by the script
    if (Files.exists(ends)) {
      for (String line : Files.readAllLines(ends)) {
        String[] words = line.split(" ", -1);
        summary
            .phase(words[0])
            .put("status", Integer.parseInt(words[1]))
            .put("seconds", Integer.parseInt(words[2]));
      }
    }
    summary.tell();
    Findings.JSON.writeValue(folder.resolve("results.json").toFile(), summary.results);
    Files.writeString(folder.resolve("results.md"), summary.text);
    return summary.fine();
  }

  private ObjectNode phase(String name) {
    return results.withObject("/" + name);
  }

  private boolean fine() {
    return PHASES.stream().map(this::phase).allMatch(Summary::fine);
  }

  private static boolean fine(JsonNode phase) {
    return phase.path("status").asInt() == 0
        && elements(phase.path("checks")).stream().allMatch(check -> check.get("fine").asBoolean());
  }

  private static List<JsonNode> elements(JsonNode array) {
    return StreamSupport.stream(array.spliterator(), false).toList();
  }

  private void line(String format, Object... values) {
    text.append(String.format(Locale.ROOT, format, values)).append('\n');
  }

  private void tell() {
    line("# On a GPU%n");
    line("| | |%n|---|---|");
    for (String phase : List.of("device", "table7", "torch", "sanitizer")) {
      phase(phase)
          .path("facts")
          .properties()
          .forEach(fact -> line("| %s | %s |", fact.getKey(), fact.getValue().asText()));
    }
    line("%n## Checks%n%n| phase | checks | failed | seconds | |%n|---|---|---|---|---|");
    for (String name : PHASES) {
      JsonNode phase = phase(name);
      List<JsonNode> checks = elements(phase.path("checks"));
      long failed = checks.stream().filter(check -> !check.get("fine").asBoolean()).count();
      line(
          "| %s | %d | %d | %s | %s |",
          name, checks.size(), failed, phase.path("seconds").asText("-"), verdict(phase));
    }
    List<JsonNode> failed =
        PHASES.stream()
            .flatMap(name -> elements(phase(name).path("checks")).stream())
            .filter(check -> !check.get("fine").asBoolean())
            .toList();
    if (!failed.isEmpty()) {
      line("%n## What failed%n");
      failed.forEach(
          check -> line("- %s: %s", check.get("name").asText(), oneLine(check.get("said"))));
    }
    figures();
    table7();
  }

  private static String oneLine(JsonNode said) {
    return said.asText().replaceAll("\\s+", " ");
  }

  private static String verdict(JsonNode phase) {
    int status = phase.path("status").asInt(-1);
    if (status == 124 || status == 137) {
      return "**ran out of time**";
    }
    return status < 0 ? "not run" : status == 0 && fine(phase) ? "fine" : "**failed**";
  }

  private List<JsonNode> rows(String phase, String what) {
    return elements(phase(phase).path("rows")).stream()
        .filter(row -> row.path("what").asText().equals(what))
        .toList();
  }

  private static double most(List<JsonNode> rows, String figure) {
    return rows.stream().mapToDouble(row -> row.path(figure).asDouble()).max().orElse(Double.NaN);
  }

  private void figures() {
    double copy = most(rows("figures", "copy"), "GB/s");
    double matmul = most(rows("torch", "matmul"), "TFLOP/s");
    line("%n## Figures%n");
    line("- device memory, copied: %s GB/s", number("%.0f", copy));
    line("- the largest matrix product of torch in bf16: %s TFLOP/s", number("%.0f", matmul));
    for (JsonNode row : rows("figures", "sample model")) {
      line("- the sample's model: %.0f words/s", row.path("words/s").asDouble());
    }
    line(
        "%nForward and backward of one layer, a graph replayed: median of samples (least to most)."
            + " FLOPs are those of the experts; bytes the fewest possible in fp32.%n");
    line(
        "| T, d, h, n, k | routing, max/mean | precision | ms | TFLOP/s | of matmul | GB/s | of copy"
            + " | torch, fp32 gradients | times | torch, any |%n"
            + "|---|---|---|---|---|---|---|---|---|---|---|");
    for (JsonNode row : rows("figures", "layer")) {
      double ms = row.path("ms").asDouble();
      Optional<JsonNode> exact =
          best(row, other -> other.path("gradients").asText().equals("fp32"));
      Optional<JsonNode> any = best(row, other -> true);
      line(
          "| %s, %s, %s, %s, %s | %s, %.1f | %s | %.3f (%.3f to %.3f) | %.1f | %s | %.0f | %s | %s"
              + " | %s | %s |",
          row.path("T"),
          row.path("d"),
          row.path("h"),
          row.path("n"),
          row.path("k"),
          row.path("routing").asText(),
          row.path("max/mean").asDouble(),
          row.path("precision").asText(),
          ms,
          row.path("least").asDouble(),
          row.path("most").asDouble(),
          row.path("TFLOP/s").asDouble(),
          number("%.0f%%", 100 * row.path("TFLOP/s").asDouble() / matmul),
          row.path("GB/s").asDouble(),
          number("%.0f%%", 100 * row.path("GB/s").asDouble() / copy),
          exact.map(Summary::named).orElse("-"),
          exact.map(torch -> number("%.2f", torch.path("ms").asDouble() / ms)).orElse("-"),
          any.map(Summary::named).orElse("-"));
    }
  }

  private void table7() {
    line("%n## Models of [S17] table 7%n");
    line(
        "Steps of training on words that Zipf's law gives: median (least to most). TFLOP/s as the"
            + " paper counts them for each of its GPUs: forward and backward, the sampled softmax"
            + " included, a multiply-add as two.%n");
    line(
        "| model | parameters | GiB, as planned | taken | s to start | max/mean | ms a step"
            + " | words/s | TFLOP/s | the paper's | loss, first to last step |%n"
            + "|---|---|---|---|---|---|---|---|---|---|---|");
    for (JsonNode row : rows("table7", "model")) {
      line(
          "| %s | %,d | %.1f | %.1f | %.1f | %s | %.1f (%.1f to %.1f) | %.0f | %.1f | %.2f"
              + " | %.2f to %.2f |",
          row.path("model").asText(),
          row.path("parameters").asLong(),
          row.path("planned bytes").asLong() / GIB,
          row.path("taken bytes").asLong() / GIB,
          row.path("start s").asDouble(),
          number("%.1f", row.path("max/mean").asDouble(Double.NaN)),
          row.path("ms").asDouble(),
          row.path("least").asDouble(),
          row.path("most").asDouble(),
          row.path("words/s").asDouble(),
          row.path("TFLOP/s").asDouble(),
          row.path("paper TFLOP/s").asDouble(),
          row.path("first loss").asDouble(),
          row.path("last loss").asDouble());
    }
  }

  /** Torch's fastest variant of the same layer under the same routing. */
  private Optional<JsonNode> best(JsonNode row, Predicate<JsonNode> which) {
    return rows("torch", "layer").stream()
        .filter(which)
        .filter(other -> other.has("ms") && !other.path("dropped").asBoolean())
        .filter(
            other ->
                List.of("T", "d", "h", "n", "k", "routing").stream()
                    .allMatch(key -> row.path(key).equals(other.path(key))))
        .min(Comparator.comparingDouble(other -> other.path("ms").asDouble()));
  }

  private static String named(JsonNode torch) {
    return String.format(
        Locale.ROOT, "%.3f (%s)", torch.path("ms").asDouble(), torch.path("variant").asText());
  }

  private static String number(String format, double value) {
    return Double.isFinite(value) ? String.format(Locale.ROOT, format, value) : "-";
  }
}
