package dev.topknot.samples.lm;

import dev.topknot.text.ExpertLoad;
import dev.topknot.text.Metrics;
import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapChartBuilder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.internal.chartpart.Chart;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Draws the charts of a report, as PNG files in memory. */
final class Charts {
  private static final int WIDTH = 960;
  private static final int HEIGHT = 420;

  /** Pixels of the image for one of the chart, for sharp text on dense screens. */
  private static final int SCALE = 2;

  private static final int HEAT_MAP_COLUMNS = 120;
  private static final int HEAT_MAP_ROWS = 128;
  private static final Color[] COLORS = {new Color(0x1f5fa8), new Color(0xc4501b)};
  private static final Color GREY = new Color(0x888888);

  /** Shares 0, 0.5, 1 (an equal share, white), 1.5 and so on to {@link #HEAT_MAXIMUM}. */
  private static final Color[] HEAT = {
    new Color(0x0b0c3b),
    new Color(0x4a6fb5),
    new Color(0xf5f5f5),
    new Color(0xf6c27a),
    new Color(0xe58a3a),
    new Color(0xcc4a1b),
    new Color(0x8c1007)
  };

  private static final double HEAT_MAXIMUM = 3;

  private Charts() {}

  /**
   * Perplexity of the runs by tokens seen, with the unigram model's as a line. What lies far above
   * that, the first steps, is left out: the labels of more than a decade would touch.
   */
  static byte[] perplexity(List<Outcome> outcomes) {
    double unigram = outcomes.get(0).unigramPerplexity();
    double highest = 2 * unigram;
    XYChart chart = lines("Perplexity", "perplexity");
    chart.getStyler().setYAxisLogarithmic(true).setYAxisLogarithmicDecadeOnly(false);
    chart.getStyler().setYAxisMax(highest);
    double last = 0;
    for (int i = 0; i < outcomes.size(); i++) {
      List<Metrics> all = outcomes.get(i).result().log().metrics();
      if (all.isEmpty()) {
        continue;
      }
      String name = outcomes.get(i).settings().model().toString();
      Color color = COLORS[i % COLORS.length];
      List<Metrics> training =
          all.stream().filter(row -> row.trainPerplexity() <= highest).toList();
      if (!training.isEmpty()) {
        add(chart, name + ", training", training, Metrics::trainPerplexity, pale(color));
      }
      List<Metrics> evaluated =
          all.stream()
              .filter(row -> row.evaluated() && row.heldOutPerplexity() <= highest)
              .toList();
      if (!evaluated.isEmpty()) {
        add(chart, name + ", held-out", evaluated, Metrics::heldOutPerplexity, color)
            .setLineStyle(new BasicStroke(2.5f));
      }
      last = Math.max(last, millions(all.get(all.size() - 1)));
    }
    XYSeries line =
        chart.addSeries(
            "unigram, held-out", new double[] {0, last}, new double[] {unigram, unigram});
    line.setMarker(SeriesMarkers.NONE).setLineColor(GREY);
    return png(marked(chart, last));
  }

  /** How evenly the gate spreads the tokens, by tokens seen. */
  static byte[] balance(Outcome outcome) {
    List<Metrics> rows = outcome.result().log().metrics();
    XYChart chart = lines("Balance of the experts, " + outcome.settings().model(), "CV; max/mean");
    add(chart, "CV(importance)", rows, Metrics::importanceCv, COLORS[0]);
    add(chart, "CV(load)", rows, Metrics::loadCv, COLORS[1]);
    add(chart, "max/mean load", rows, Metrics::maxOverMeanLoad, GREY);
    return png(marked(chart, rows.isEmpty() ? 0 : millions(rows.get(rows.size() - 1))));
  }

  /** Each expert's share of the tokens over time; 1 is an equal share. */
  static byte[] loads(Outcome outcome) {
    List<ExpertLoad> all = outcome.result().log().loads();
    String layer = all.get(0).layer();
    List<ExpertLoad> rows = all.stream().filter(row -> row.layer().equals(layer)).toList();
    int experts = rows.get(0).tokens().size();
    int columns = Math.min(HEAT_MAP_COLUMNS, rows.size());
    int bands = Math.min(HEAT_MAP_ROWS, experts);
    List<Number[]> cells = new ArrayList<>();
    List<String> steps = new ArrayList<>();
    for (int x = 0; x < columns; x++) {
      int end = part(x + 1, columns, rows.size());
      double[] share = shares(rows.subList(part(x, columns, rows.size()), end), experts);
      for (int y = 0; y < bands; y++) {
        double mean =
            Arrays.stream(share, part(y, bands, experts), part(y + 1, bands, experts))
                .average()
                .orElse(0);
        cells.add(new Number[] {x, y, Math.min(HEAT_MAXIMUM, mean)});
      }
      steps.add(Long.toString(rows.get(end - 1).step()));
    }
    HeatMapChart chart =
        new HeatMapChartBuilder()
            .width(WIDTH)
            .height(HEIGHT + 140)
            .title("Tokens of each expert over an equal share, " + layer)
            .xAxisTitle("step")
            .yAxisTitle("expert")
            .build();
    chart.getStyler().setRangeColors(HEAT).setMin(0).setMax(HEAT_MAXIMUM).setDrawBorder(false);
    chart.getStyler().setHeatMapDecimalValueFormatter(value -> format("%.1f", value));
    chart.getStyler().setXAxisMaxLabelCount(10);
    chart.getStyler().setPlotGridLinesVisible(false).setPlotContentSize(0.99);
    plain(chart.getStyler());
    chart.addSeries(
        "share",
        steps,
        IntStream.range(0, bands).map(y -> part(y, bands, experts)).boxed().toList(),
        cells);
    return png(chart);
  }

  private static int part(int index, int parts, int size) {
    return (int) ((long) index * size / parts);
  }

  /** Each expert's tokens over the mean of all experts. */
  private static double[] shares(List<ExpertLoad> rows, int experts) {
    double[] sums = new double[experts];
    for (ExpertLoad row : rows) {
      for (int i = 0; i < experts; i++) {
        sums[i] += row.tokens().get(i);
      }
    }
    double mean = Arrays.stream(sums).average().orElse(0);
    return Arrays.stream(sums).map(sum -> mean == 0 ? 0 : sum / mean).toArray();
  }

  private static XYChart lines(String title, String yAxis) {
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title(title)
            .xAxisTitle("tokens seen, millions")
            .yAxisTitle(yAxis)
            .build();
    // Below, where it covers no curve.
    chart.getStyler().setLegendPosition(Styler.LegendPosition.OutsideS);
    chart.getStyler().setLegendLayout(Styler.LegendLayout.Horizontal);
    chart.getStyler().setAxisTickLabelsFont(new Font(Font.SANS_SERIF, Font.PLAIN, 11));
    plain(chart.getStyler());
    return chart;
  }

  static void plain(Styler styler) {
    styler.setChartBackgroundColor(Color.WHITE).setChartTitleBoxVisible(false);
    styler.setLegendBorderColor(Color.WHITE);
  }

  private static XYSeries add(
      XYChart chart,
      String name,
      List<Metrics> rows,
      ToDoubleFunction<Metrics> value,
      Color color) {
    XYSeries series =
        chart.addSeries(
            name,
            rows.stream().mapToDouble(Charts::millions).toArray(),
            rows.stream().mapToDouble(value).toArray());
    series.setMarker(SeriesMarkers.NONE);
    series.setLineColor(color).setLineStyle(new BasicStroke(1.5f));
    return series;
  }

  /** XChart marks data points, not round numbers, where all are equally far apart from the edge. */
  private static XYChart marked(XYChart chart, double last) {
    chart.getStyler().setXAxisMin(-0.003 * last).setXAxisMax(1.003 * last);
    return chart;
  }

  private static double millions(Metrics row) {
    return row.tokens() / 1e6;
  }

  private static Color pale(Color color) {
    return new Color(color.getRed(), color.getGreen(), color.getBlue(), 90);
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  static byte[] png(Chart<?, ?> chart) {
    BufferedImage image =
        new BufferedImage(
            chart.getWidth() * SCALE, chart.getHeight() * SCALE, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.scale(SCALE, SCALE);
    graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
    chart.paint(graphics, chart.getWidth(), chart.getHeight());
    graphics.dispose();
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      // A cache on disk wants a shutdown hook, which is refused after Ctrl-C.
      ImageIO.setUseCache(false);
      ImageIO.write(image, "png", bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }
}
