package dev.topknot.samples.lm;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Draws the two sides of [S17] figure 2. */
final class SweepCharts {
  /**
   * Of the Kneser-Ney 5-gram on the 1-Billion-Word benchmark: Chelba et al. 2013, [S17] table 7.
   */
  static final double PAPER_NGRAM = 67.6;

  private static final int WIDTH = 960;
  private static final int HEIGHT = 480;
  private static final Color[] COLORS = {
    new Color(0xc4501b), new Color(0x1f5fa8), new Color(0x2c8a57)
  };
  private static final Color GREY = new Color(0x888888);

  /** Where the largest value is more than this over the smallest, labels would touch. */
  private static final double FULLY_LABELLED = 50;

  /** A point of a chart: parameters or operations in some unit, and perplexity. */
  private record Point(double x, double perplexity) {}

  private SweepCharts() {}

  /** What was trained. */
  static byte[] ours(
      Sweep sweep, List<Sweep.Row> rows, List<SweepResult> results, SweepResult ngram) {
    Map<String, List<Point>> series = new LinkedHashMap<>();
    for (int i = 0; i < rows.size(); i++) {
      SweepResult result = results.get(i);
      double x = sweep == Sweep.FIGURE2_LEFT ? result.parameters() : result.operations();
      series
          .computeIfAbsent(rows.get(i).series(), name -> new ArrayList<>())
          .add(new Point(x / 1e3, result.perplexity()));
    }
    double highest = results.stream().mapToDouble(SweepResult::perplexity).max().orElseThrow();
    boolean above = ngram.perplexity() > highest; // its line would press the models together
    String title =
        above
            ? String.format(
                Locale.ROOT, "%s (%s: %.1f)", sweep.title(), ngram.model(), ngram.perplexity())
            : sweep.title();
    XYChart chart = chart(sweep, title, "thousands", series);
    if (!above) {
      double[] ends = ascending(series);
      XYSeries line =
          chart.addSeries(
              ngram.model(),
              new double[] {ends[0], ends[ends.length - 1]},
              new double[] {ngram.perplexity(), ngram.perplexity()});
      line.setMarker(SeriesMarkers.NONE).setLineColor(GREY);
    }
    return Charts.png(chart);
  }

  /** What [S17] table 7 has. */
  static byte[] paper(Sweep sweep) {
    Map<String, List<Point>> series = new LinkedHashMap<>();
    if (sweep == Sweep.FIGURE2_LEFT) {
      series.put(
          "dense", List.of(new Point(8.4, 46.0), new Point(8.4, 46.1), new Point(8.4, 45.7)));
      series.put(
          "MoE", List.of(new Point(8.4, 45.0), new Point(37.8, 39.7), new Point(272.9, 35.7)));
      series.put(
          "hierarchical MoE",
          List.of(new Point(272.9, 36.0), new Point(1079.0, 34.6), new Point(4303.4, 34.1)));
    } else {
      series.put("LSTM", List.of(new Point(8.4, 46.0)));
      series.put(
          "MoE of 4 billion parameters",
          List.of(new Point(8.9, 34.1), new Point(33.8, 31.3), new Point(142.7, 28.0)));
    }
    return Charts.png(
        chart(sweep, "[S17]: 1-Billion-Word benchmark, width 512 and more", "millions", series));
  }

  private static double[] ascending(Map<String, List<Point>> all) {
    return all.values().stream().flatMap(List::stream).mapToDouble(Point::x).sorted().toArray();
  }

  private static XYChart chart(
      Sweep sweep, String title, String unit, Map<String, List<Point>> all) {
    boolean left = sweep == Sweep.FIGURE2_LEFT;
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title(title)
            .xAxisTitle(
                unit
                    + (left
                        ? " of parameters, without embedding and softmax"
                        : " of operations a timestep, without embedding and softmax"))
            .yAxisTitle("perplexity on held-out text")
            .build();
    double[] xs = ascending(all);
    chart.getStyler().setXAxisLogarithmic(true).setXAxisDecimalPattern("#,##0.###");
    chart.getStyler().setXAxisLogarithmicDecadeOnly(xs[xs.length - 1] > FULLY_LABELLED * xs[0]);
    chart.getStyler().setAxisTickLabelsFont(new Font(Font.SANS_SERIF, Font.PLAIN, 9));
    chart.getStyler().setLegendPosition(Styler.LegendPosition.OutsideS);
    chart.getStyler().setLegendLayout(Styler.LegendLayout.Horizontal);
    Charts.plain(chart.getStyler());
    int number = 0;
    for (Map.Entry<String, List<Point>> entry : all.entrySet()) {
      XYSeries series =
          chart.addSeries(
              entry.getKey(),
              entry.getValue().stream().mapToDouble(Point::x).toArray(),
              entry.getValue().stream().mapToDouble(Point::perplexity).toArray());
      if (entry.getKey().equals(Sweep.DENSE)) { // all at one place
        series.setXYSeriesRenderStyle(XYSeries.XYSeriesRenderStyle.Scatter);
      }
      Color color = COLORS[number++ % COLORS.length];
      series.setMarker(SeriesMarkers.CIRCLE).setMarkerColor(color);
      series.setLineColor(color).setLineStyle(new BasicStroke(1.5f));
    }
    return chart;
  }
}
