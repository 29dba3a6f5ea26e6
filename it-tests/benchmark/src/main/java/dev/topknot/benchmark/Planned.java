package dev.topknot.benchmark;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What Topknot's processor planned: it says so in the report beside the classes. */
final class Planned {
  private static final Pattern ALL = Pattern.compile("(?m)^\\| all \\| ([\\d,]+) \\| [^|]+ \\|$");

  private Planned() {}

  /**
   * Bytes of an instance that trains: weights, gradients, moments if any, and activations.
   *
   * @throws IOException if there is no such report, or it does not say
   */
  static long bytes(Workload workload) throws IOException {
    try (InputStream in = Planned.class.getResourceAsStream(workload.report())) {
      if (in == null) {
        throw new IOException("no report " + workload.report());
      }
      Matcher all = ALL.matcher(new String(in.readAllBytes(), StandardCharsets.UTF_8));
      if (!all.find()) {
        throw new IOException(workload.report() + " does not say how much memory is planned");
      }
      return Long.parseLong(all.group(1).replace(",", ""));
    }
  }
}
