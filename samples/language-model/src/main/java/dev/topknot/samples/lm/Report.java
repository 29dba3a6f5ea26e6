package dev.topknot.samples.lm;

import dev.topknot.text.Metrics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** Writes what came of one run, or of several side by side, to one self-contained HTML file. */
final class Report {
  static final String FILE = "report.html";

  private static final int TABLE_ROWS = 24;

  private final Html html;

  private Report(Html html) {
    this.html = html;
  }

  /** Writes the report to a directory and gives its path. */
  static Path write(Path directory, List<Outcome> outcomes) throws IOException {
    Path file = directory.resolve(FILE);
    Files.createDirectories(directory);
    Files.writeString(
        file, new Report(new Html("Topknot language model: " + names(outcomes))).html(outcomes));
    return file;
  }

  private String html(List<Outcome> outcomes) {
    summary(outcomes);
    html.image("Perplexity by tokens seen", () -> Charts.perplexity(outcomes));
    html.note(
        "What lies above twice the unigram model's perplexity, the first steps, is left out. Held-out"
            + " points on the way are measured on the first 20,000 held-out tokens; the figure in"
            + " the table above on all of them, every end of sentence counted, full softmax, noise"
            + " and dropout off. Training perplexity is with both on.");
    for (Outcome outcome : outcomes) {
      if (!outcome.result().log().loads().isEmpty()) {
        html.image("Expert load over time", () -> Charts.loads(outcome));
        html.note(
            "Tokens that each expert was sent over those of an equal share: white is 1, blue is"
                + " less, red is more, and 3 stands for all above.");
        html.image("Balance", () -> Charts.balance(outcome));
        html.note(
            "Importance and load are summed over the steps between two points, so a single batch is"
                + " less even. Load is the gate's smooth estimate, not the tokens counted above.");
      }
    }
    for (Outcome outcome : outcomes) {
      rows(outcome);
    }
    return html.end();
  }

  private static String names(List<Outcome> outcomes) {
    return String.join(
        " and ", outcomes.stream().map(outcome -> outcome.settings().model().toString()).toList());
  }

  private void summary(List<Outcome> outcomes) {
    html.table();
    html.header(
        "model",
        "parameters",
        "steps",
        "tokens",
        "time",
        "words/s",
        "held-out perplexity",
        "unigram model's");
    for (Outcome outcome : outcomes) {
      html.row(
          outcome.settings().model().toString(),
          format("%,d", outcome.parameters()),
          format("%,d", outcome.result().step()),
          format("%,d", outcome.result().tokens()),
          TrainingRun.duration(outcome.result().seconds()),
          format("%,.0f", outcome.wordsPerSecond()),
          outcome.result().heldOut().isEmpty()
              ? "stopped"
              : format("%.2f", outcome.heldOutPerplexity()),
          format("%.2f", outcome.unigramPerplexity()));
    }
    html.endTable();
    Settings settings = outcomes.get(0).settings();
    html.note(
        format(
            "On %s, %s, seed %d; peak learning rate %s after %d steps, gradient clipped to %s.",
            settings.text(),
            outcomes.get(0).device(),
            settings.seed(),
            settings.rate(),
            settings.warmup(),
            settings.clip()));
  }

  private void rows(Outcome outcome) {
    List<Metrics> all = outcome.result().log().metrics();
    html.heading("Figures, " + outcome.settings().model());
    html.table();
    html.header(
        "step",
        "tokens",
        "loss",
        "training perplexity",
        "held-out perplexity",
        "CV(importance)",
        "CV(load)",
        "max/mean load",
        "words/s",
        "rate",
        "gradient norm");
    List<Metrics> evaluated = all.stream().filter(Metrics::evaluated).toList();
    List<Metrics> rows = evaluated.size() < 2 ? all : evaluated;
    int shown = Math.min(TABLE_ROWS, rows.size());
    IntStream.rangeClosed(1, shown)
        .mapToObj(i -> rows.get(i * rows.size() / shown - 1))
        .forEach(this::row);
    html.endTable();
    html.note("Every row is in " + outcome.directory() + ", metrics.csv.");
  }

  private void row(Metrics row) {
    html.row(
        format("%,d", row.step()),
        format("%,d", row.tokens()),
        number("%.3f", row.loss()),
        number("%.1f", row.trainPerplexity()),
        number("%.1f", row.heldOutPerplexity()),
        number("%.3f", row.importanceCv()),
        number("%.3f", row.loadCv()),
        number("%.2f", row.maxOverMeanLoad()),
        number("%,.0f", row.wordsPerSecond()),
        number("%.2g", row.rate()),
        number("%.2f", row.gradientNorm()));
  }

  private static String number(String format, double value) {
    return Double.isNaN(value) ? "" : format(format, value);
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
