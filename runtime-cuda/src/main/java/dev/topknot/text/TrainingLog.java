package dev.topknot.text;

import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Function;

/** The figures of a training run, kept in memory and, beside the checkpoint, in two CSV files. */
public final class TrainingLog {
  /** One row of {@link Metrics} each few steps. */
  public static final String METRICS_FILE = "metrics.csv";

  /** One row of {@link ExpertLoad} for each gated layer each few steps. */
  public static final String LOAD_FILE = "load.csv";

  private final List<Metrics> metrics;
  private final List<ExpertLoad> loads;

  TrainingLog(List<Metrics> metrics, List<ExpertLoad> loads) {
    this.metrics = new ArrayList<>(metrics);
    this.loads = new ArrayList<>(loads);
  }

  /** Reads the files of a run. */
  public static TrainingLog read(Path directory) throws IOException {
    return new TrainingLog(
        rows(directory.resolve(METRICS_FILE), Metrics.HEADER, Metrics::fromCsv),
        rows(directory.resolve(LOAD_FILE), ExpertLoad.HEADER, ExpertLoad::fromCsv));
  }

  /** The rows of metrics in the order of the steps. */
  public List<Metrics> metrics() {
    return Collections.unmodifiableList(metrics);
  }

  /** How many tokens each expert got, in the order of the steps. */
  public List<ExpertLoad> loads() {
    return Collections.unmodifiableList(loads);
  }

  /** The log up to a step: what was measured after the checkpoint that training goes on from. */
  TrainingLog upTo(long step) {
    return new TrainingLog(
        metrics.stream().filter(row -> row.step() <= step).toList(),
        loads.stream().filter(row -> row.step() <= step).toList());
  }

  void add(Metrics row, List<ExpertLoad> load) {
    metrics.add(row);
    loads.addAll(load);
  }

  /** Replaces the files of a run by this log. */
  void write(Path directory) throws IOException {
    replace(
        directory.resolve(METRICS_FILE),
        Metrics.HEADER,
        metrics.stream().map(Metrics::toCsv).toList());
    replace(
        directory.resolve(LOAD_FILE),
        ExpertLoad.HEADER,
        loads.stream().map(ExpertLoad::toCsv).toList());
  }

  /** Appends one row to the files of a run. */
  static void append(Path directory, Metrics row, List<ExpertLoad> load) throws IOException {
    append(directory.resolve(METRICS_FILE), List.of(row.toCsv()));
    append(directory.resolve(LOAD_FILE), load.stream().map(ExpertLoad::toCsv).toList());
  }

  private static void append(Path file, List<String> lines) throws IOException {
    try (BufferedWriter out = Files.newBufferedWriter(file, StandardOpenOption.APPEND)) {
      for (String line : lines) {
        out.append(line).append('\n');
      }
    }
  }

  private static void replace(Path file, String header, List<String> lines) throws IOException {
    Path temporary = file.resolveSibling(file.getFileName() + ".tmp");
    Files.writeString(temporary, header + "\n");
    append(temporary, lines);
    Files.move(temporary, file, StandardCopyOption.REPLACE_EXISTING);
  }

  private static <T> List<T> rows(Path file, String header, Function<String, T> parse)
      throws IOException {
    String text = Files.readString(file);
    // a crash in the middle of writing leaves a line without its end, which says nothing reliable
    List<String> lines = text.substring(0, text.lastIndexOf('\n') + 1).lines().toList();
    if (lines.isEmpty() || !lines.get(0).equals(header)) {
      throw new IOException(file + ":1: expected the header " + header);
    }
    List<T> rows = new ArrayList<>();
    for (int i = 1; i < lines.size(); i++) {
      try {
        rows.add(parse.apply(lines.get(i)));
      } catch (NumberFormatException e) {
        throw new IOException(file + ":" + (i + 1) + ": " + e.getMessage(), e);
      }
    }
    return rows;
  }
}
