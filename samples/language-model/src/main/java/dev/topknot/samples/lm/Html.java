package dev.topknot.samples.lm;

import java.util.Base64;
import java.util.function.Supplier;

/** A self-contained HTML page, written from top to bottom. */
final class Html {
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

  Html(String title) {
    html.append(HEAD.formatted(escape(title)));
  }

  /** The whole page. */
  String end() {
    return html.append("</body>\n</html>\n").toString();
  }

  void heading(String text) {
    html.append("<h2>").append(escape(text)).append("</h2>\n");
  }

  void table() {
    html.append("<table>\n");
  }

  void endTable() {
    html.append("</table>\n");
  }

  void header(String... cells) {
    html.append("<tr>");
    for (String cell : cells) {
      html.append("<th>").append(escape(cell)).append("</th>");
    }
    html.append("</tr>\n");
  }

  void row(String... cells) {
    html.append("<tr>");
    for (String cell : cells) {
      html.append("<td>").append(escape(cell)).append("</td>");
    }
    html.append("</tr>\n");
  }

  void note(String text) {
    html.append("<p class=\"note\">").append(escape(text)).append("</p>\n");
  }

  /** Where the machine cannot draw, as without any font, the figures remain. */
  void image(String title, Supplier<byte[]> chart) {
    heading(title);
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
