package dev.topknot.benchmark;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import dev.topknot.runtime.cpu.Phases;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * All measurements and where they were taken.
 *
 * @param date when, UTC
 * @param machine processor and memory
 * @param java name and version of the virtual machine
 * @param versions of the peers
 * @param threads of each side
 * @param rows the measurements
 * @param floors Topknot's steps beside what they could take at least
 */
record Report(
    String date,
    String machine,
    String java,
    List<String> versions,
    int threads,
    List<Row> rows,
    List<Floors> floors) {

  /** Processors' worth of other programs from which on a row is marked. */
  private static final double BUSY = 0.1;

  private static final String NONE = "-";

  /** Times, memory and what peers chose, in Markdown. */
  String tables() {
    StringBuilder text = new StringBuilder();
    line(
        text,
        "%s; %s; %s; %d threads on each side; %s",
        machine,
        java,
        String.join("; ", versions),
        threads,
        date);
    line(text, "");
    times(text);
    line(text, "");
    memory(text);
    line(text, "");
    floors(text);
    line(text, "");
    ways(text);
    return text.toString();
  }

  private void times(StringBuilder text) {
    line(
        text,
        "| workload | task | Topknot, ms: median (min to max) | %s | Topknot's time / best peer's"
            + " (pairs: min to max) | Topknot is faster by | largest difference of results |",
        columns(peer -> peer + ", ms; Topknot's time / its"));
    line(text, "|---|---|---|%s---|---|---|", columns(peer -> "---|").replace(" | ", ""));
    for (Row row : rows) {
      Comparison best = row.best();
      Summary pairs = best.pairRatios();
      line(
          text,
          "| %s: %s | %s%s | %s | %s | **%.2f** of %s (%.2f to %.2f, %d pairs) | %.2f | %.1e |",
          row.workload(),
          row.sizes(),
          row.task(),
          row.busy() > BUSY ? format(" (busy: %.1f)", row.busy()) : "",
          milliseconds(row, row.topknotSummary()),
          columns(
              peer ->
                  row.with(peer)
                      .map(c -> milliseconds(row, c.otherSummary()) + format("; %.2f", c.ratio()))
                      .orElse(NONE)),
          best.ratio(),
          best.peer(),
          pairs.min(),
          pairs.max(),
          best.topknot().size(),
          1 / best.ratio(),
          row.difference());
    }
    if (rows.stream().anyMatch(row -> row.busy() > BUSY)) {
      line(text, "");
      line(text, "busy: so many processors worked for other programs meanwhile.");
    }
  }

  private void memory(StringBuilder text) {
    line(
        text,
        "| workload | task | Topknot plans, MiB | Topknot's process at most, MiB | %s |",
        columns(peer -> peer + ", MiB"));
    line(text, "|---|---|---|---|%s", columns(peer -> "---|").replace(" | ", ""));
    for (Row row : rows) {
      line(
          text,
          "| %s | %s | %s | %s | %s |",
          row.workload(),
          row.task(),
          mebibytes(row.planned()),
          mebibytes(row.topknotPeak()),
          columns(peer -> row.with(peer).map(c -> mebibytes(c.otherPeak())).orElse(NONE)));
    }
    line(text, "");
    line(text, "Planned: weights, gradients, activations. A process is that and a Java VM.");
  }

  /** How near Topknot is to what the machine can do. */
  private void floors(StringBuilder text) {
    line(
        text,
        "| workload | program | Topknot's steps, ms | the least they could take, ms | share |"
            + " products at up to | memory read at |");
    line(text, "|---|---|---:|---:|---:|---:|---:|");
    for (Floors floor : floors) {
      for (Phases.Times times : floor.programs()) {
        line(
            text,
            "| %s | %s | %.1f | %.1f | **%.0f%%** | %.0f GFLOP/s | %.1f GB/s |",
            floor.workload(),
            times.program().name().toLowerCase(Locale.ROOT),
            times.seconds() * 1e3,
            times.floorSeconds() * 1e3,
            100 * times.share(),
            floor.flopsPerSecond() / 1e9,
            floor.bytesPerSecond() / 1e9);
      }
    }
  }

  /** What peers with a choice took. */
  private void ways(StringBuilder text) {
    for (Row row : rows) {
      for (Comparison comparison : row.comparisons()) {
        if (!comparison.way().isEmpty()) {
          line(
              text,
              "- %s, %s: %s took \"%s\"",
              row.workload(),
              row.task(),
              comparison.peer(),
              comparison.way());
        }
      }
    }
  }

  /** A column for each peer that was measured at all. */
  private String columns(Function<Side, String> content) {
    return rows.stream()
        .flatMap(row -> row.comparisons().stream())
        .map(Comparison::peer)
        .distinct()
        .sorted()
        .map(content)
        .collect(Collectors.joining(" | "));
  }

  private static String milliseconds(Row row, Summary times) {
    String text = format("%.1f (%.1f to %.1f)", times.median(), times.min(), times.max());
    return row.task() == Task.STEP
        ? text + format(", %.0f words/s", row.tokens() / times.median() * 1000)
        : text;
  }

  private static String mebibytes(long bytes) {
    return bytes == 0 ? "unknown" : format("%.0f", bytes / 0x1p20);
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  private static void line(StringBuilder table, String format, Object... values) {
    table.append(format(format, values)).append('\n');
  }

  /** Writes everything, each turn's figure included, as JSON. */
  void write(Path file) throws IOException {
    if (file.toAbsolutePath().getParent() != null) {
      Files.createDirectories(file.toAbsolutePath().getParent());
    }
    new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValue(file.toFile(), this);
  }
}
