package dev.topknot.samples.lm;

import dev.topknot.text.Metrics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/** Writes what came of one run, or of several side by side, to one self-contained HTML file. */
final class Report {
  static final String FILE = "report.html";

  private static final int TABLE_ROWS = 24;

  private static final String HEAD =
      """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width">
      <title>%1$s</title>
      <style>
      body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
        padding: 0 1rem; color: #222; background: #fff; }
      h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
      img { width: 100%%; height: auto; }
      table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
      th, td { padding: 0.15rem 0.8rem 0.15rem 0; text-align: right; border-bottom: 1px solid #ddd; }
      th:first-child, td:first-child { text-align: left; }
      .note { color: #666; font-size: 0.9rem; }
      </style>
      </head>
      <body>
      <h1>%1$s</h1>
      """;

  private final StringBuilder html = new StringBuilder();

  private Report() {}

  /** Writes the report to a directory and gives its path. */
  static Path write(Path directory, List<Outcome> outcomes) throws IOException {
    Path file = directory.resolve(FILE);
    Files.createDirectories(directory);
    Files.writeString(file, new Report().html(outcomes));
    return file;
  }

  private String html(List<Outcome> outcomes) {
    html.append(HEAD.formatted("Topknot language model: " + names(outcomes)));
    summary(outcomes);
    image("Perplexity by tokens seen", () -> Charts.perplexity(outcomes));
    note(
        "What lies above twice the unigram model's perplexity, the first steps, is left out. Held-out"
            + " points on the way are measured on the first 20,000 held-out tokens; the figure in"
            + " the table above on all of them, every end of sentence counted, full softmax, noise"
            + " and dropout off. Training perplexity is with both on.");
    for (Outcome outcome : outcomes) {
      if (!outcome.result().log().loads().isEmpty()) {
        image("Expert load over time", () -> Charts.loads(outcome));
        note(
            "Tokens that each expert was sent over those of an equal share: white is 1, blue is"
                + " less, red is more, and 3 stands for all above.");
        image("Balance", () -> Charts.balance(outcome));
        note(
            "Importance and load are summed over the steps between two points, so a single batch is"
                + " less even. Load is the gate's smooth estimate, not the tokens counted above.");
      }
    }
    for (Outcome outcome : outcomes) {
      rows(outcome);
    }
    return html.append("</body>\n</html>\n").toString();
  }

  private static String names(List<Outcome> outcomes) {
    return String.join(
        " and ", outcomes.stream().map(outcome -> outcome.settings().model().toString()).toList());
  }

  private void summary(List<Outcome> outcomes) {
    html.append("<table>\n");
    header(
        "model",
        "parameters",
        "steps",
        "tokens",
        "time",
        "words/s",
        "held-out perplexity",
        "unigram model's");
    for (Outcome outcome : outcomes) {
      row(
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
    html.append("</table>\n");
    Settings settings = outcomes.get(0).settings();
    note(
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
    html.append("<h2>Figures, ").append(outcome.settings().model()).append("</h2>\n<table>\n");
    header(
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
    html.append("</table>\n");
    note("Every row is in " + escape(outcome.directory().toString()) + ", metrics.csv.");
  }

  private void row(Metrics row) {
    row(
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

  private void header(String... cells) {
    html.append("<tr>");
    for (String cell : cells) {
      html.append("<th>").append(escape(cell)).append("</th>");
    }
    html.append("</tr>\n");
  }

  private void row(String... cells) {
    html.append("<tr>");
    for (String cell : cells) {
      html.append("<td>").append(escape(cell)).append("</td>");
    }
    html.append("</tr>\n");
  }

  private void note(String text) {
    html.append("<p class=\"note\">").append(escape(text)).append("</p>\n");
  }

  /** Where the machine cannot draw, as without any font, the figures remain. */
  private void image(String title, Supplier<byte[]> chart) {
    html.append("<h2>").append(escape(title)).append("</h2>\n");
    try {
      String data = Base64.getEncoder().encodeToString(chart.get());
      html.append("<img alt=\"")
          .append(escape(title))
          .append("\" src=\"data:image/png;base64,")
          .append(data)
          .append("\">\n");
    } catch (RuntimeException | LinkageError | InternalError e) {
      note("This chart could not be drawn (" + e + "); does the machine have a font?");
    }
  }

  private static String escape(String text) {
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\"", "&quot;");
  }
}
