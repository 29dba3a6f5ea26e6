package dev.topknot.samples.lm;

import dev.topknot.samples.lm.SweepResult.Evenness;
import dev.topknot.samples.lm.sweep.Scale;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;

/** Writes what came of a sweep to one self-contained HTML file, its charts to PNG files too. */
final class SweepReport {
  private final Sweep sweep;
  private final Scale scale;
  private final Settings settings;
  private final String device;
  private final double unigramPerplexity;
  private final SweepResult ngram;
  private final List<Sweep.Row> rows = new ArrayList<>();
  private final List<SweepResult> results = new ArrayList<>();

  SweepReport(
      Sweep sweep,
      Scale scale,
      Settings settings,
      String device,
      double unigramPerplexity,
      SweepResult ngram) {
    this.sweep = sweep;
    this.scale = scale;
    this.settings = settings;
    this.device = device;
    this.unigramPerplexity = unigramPerplexity;
    this.ngram = ngram;
  }

  void add(Sweep.Row row, SweepResult result) {
    rows.add(row);
    results.add(result);
  }

  /** Writes what there is so far, and gives the path of the page. */
  Path write(Path directory) throws IOException {
    Html html = new Html("[S17] %s; scale %s".formatted(sweep.title(), scale));
    table(html);
    html.note(
        format(
            "On %s; the unigram model's perplexity is %.1f. %d %s, seed %d, peak learning rate %s"
                + " after %d steps, gradient clipped to %s, dropout %s%s, for all the same; %s.",
            settings.text(),
            unigramPerplexity,
            settings.epochs(),
            settings.epochs() == 1 ? "pass" : "passes",
            settings.seed(),
            settings.rate(),
            settings.warmup(),
            settings.clip(),
            annotated(settings.dropout()),
            losses(),
            device));
    html.note(
        "Perplexity is that of all held-out text after the last step, every end of sentence counted,"
            + " full softmax, noise and dropout off. Where an earlier pass ended with a lower one,"
            + " that one is given too. #params and ops/timestep are without embedding and softmax;"
            + " those of the n-gram model are its n-grams. The column of [S17] is another corpus, the"
            + " 1-Billion-Word benchmark, and models of width 512: only the order and the distances"
            + " can be compared.");
    if (sweep.triesLosses()) {
      html.note(
          "Importance and load in training are summed over the last steps, at most 50, with noise;"
              + " on held-out text over all of it, where load is a plain count.");
    } else {
      charts(html, directory);
    }
    Path file = directory.resolve(sweep + ".html");
    Files.writeString(file, html.end());
    return file;
  }

  /** The weights of the losses, where they are not what is tried. */
  private String losses() {
    return sweep.triesLosses()
        ? ""
        : format(
            ", importance loss %s, load loss %s",
            annotated(settings.importanceLoss()), annotated(settings.loadLoss()));
  }

  private static Object annotated(Double value) {
    return value == null ? "as annotated" : value;
  }

  private void table(Html html) {
    boolean balance = sweep.triesLosses();
    html.table();
    List<String> header = new ArrayList<>(List.of("model", "ops/timestep", "#params", "tokens"));
    header.addAll(List.of("perplexity", "lowest after a pass"));
    if (balance) {
      header.addAll(List.of("CV(importance), training", "CV(load)", "max/mean load"));
      header.addAll(List.of("CV(importance), held-out", "CV(load)", "max/mean load"));
    }
    header.add("[S17]");
    if (balance) {
      header.addAll(List.of("[S17] CV(importance)", "CV(load)", "max/mean load"));
    }
    html.header(header.toArray(String[]::new));
    html.row(cells(ngram.model(), ngram, SweepCharts.PAPER_NGRAM, Evenness.NONE, balance));
    for (int i = 0; i < rows.size(); i++) {
      Sweep.Row row = rows.get(i);
      html.row(cells(row.label(), results.get(i), row.paper(), row.paperBalance(), balance));
    }
    html.endTable();
  }

  private static String[] cells(
      String label, SweepResult result, double paper, Evenness paperBalance, boolean balance) {
    List<String> cells = new ArrayList<>();
    cells.add(label);
    cells.add(number("%,.0f", result.operations()));
    cells.add(format("%,d", result.parameters()));
    cells.add(format("%,d", result.tokens()));
    cells.add(format("%.2f", result.perplexity()));
    cells.add(
        result.overfitted()
            ? format("%.2f at %,d tokens", result.bestPerplexity(), result.bestTokens())
            : "");
    if (balance) {
      cells.addAll(cells(result.trained()));
      cells.addAll(cells(result.heldOut()));
    }
    cells.add(number("%.1f", paper));
    if (balance) {
      cells.addAll(cells(paperBalance));
    }
    return cells.toArray(String[]::new);
  }

  private static List<String> cells(Evenness evenness) {
    return List.of(
        number("%.2f", evenness.importanceCv()),
        number("%.2f", evenness.loadCv()),
        number("%.2f", evenness.maxOverMean()));
  }

  private void charts(Html html, Path directory) {
    html.image(
        "This text",
        kept(
            directory.resolve(sweep + ".png"),
            () -> SweepCharts.ours(sweep, rows, results, ngram)));
    html.image(
        "The same in [S17]: another corpus, larger models",
        kept(directory.resolve(sweep + "-paper.png"), () -> SweepCharts.paper(sweep)));
  }

  private static Supplier<byte[]> kept(Path file, Supplier<byte[]> chart) {
    return () -> {
      byte[] png = chart.get();
      try {
        Files.write(file, png);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      return png;
    };
  }

  private static String number(String format, double value) {
    return Double.isNaN(value) ? "" : format(format, value);
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
