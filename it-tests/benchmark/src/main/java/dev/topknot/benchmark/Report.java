package dev.topknot.benchmark;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * All measurements and where they were taken.
 *
 * @param date when, UTC
 * @param machine processor and memory
 * @param java name and version of the virtual machine
 * @param djl its version and engine
 * @param threads of each side
 * @param rows the measurements
 */
record Report(String date, String machine, String java, String djl, int threads, List<Row> rows) {

  /** Processors' worth of other programs from which on a row is marked. */
  private static final double BUSY = 0.1;

  /** The table, in Markdown. */
  String table() {
    StringBuilder table = new StringBuilder();
    line(table, "%s; %s; %s; %d threads; %s", machine, java, djl, threads, date);
    line(table, "");
    line(
        table,
        "| workload | task | Topknot, ms: median (min to max) | DJL, ms | Topknot is faster by"
            + " (pairs: min to max) | largest difference of results |");
    line(table, "|---|---|---|---|---|---|");
    for (Row row : rows) {
      Summary pairs = row.pairRatios();
      line(
          table,
          "| %s: %s | %s%s | %s | %s | **%.2f** (%.2f to %.2f, %d pairs) | %s |",
          row.workload(),
          row.sizes(),
          row.task(),
          row.others() > BUSY ? String.format(Locale.ROOT, " (busy: %.1f)", row.others()) : "",
          milliseconds(row, row.topknotSummary()),
          milliseconds(row, row.djlSummary()),
          row.ratio(),
          pairs.min(),
          pairs.max(),
          row.topknot().size(),
          row.tensors() == 0
              ? "not compared"
              : String.format(Locale.ROOT, "%.1e", row.difference()));
    }
    if (rows.stream().anyMatch(row -> row.others() > BUSY)) {
      line(table, "");
      line(table, "busy: so many processors worked for other programs meanwhile.");
    }
    return table.toString();
  }

  private static String milliseconds(Row row, Summary times) {
    String text =
        String.format(Locale.ROOT, "%.1f (%.1f to %.1f)", times.median(), times.min(), times.max());
    return row.task() == Task.STEP
        ? text + String.format(Locale.ROOT, ", %.0f words/s", row.tokens() / times.median() * 1000)
        : text;
  }

  private static void line(StringBuilder table, String format, Object... values) {
    table.append(String.format(Locale.ROOT, format, values)).append('\n');
  }

  /** Writes everything, each turn's figure included, as JSON. */
  void write(Path file) throws IOException {
    if (file.toAbsolutePath().getParent() != null) {
      Files.createDirectories(file.toAbsolutePath().getParent());
    }
    new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValue(file.toFile(), this);
  }
}
