package dev.topknot.benchmark;

import dev.topknot.runtime.cpu.Phases;
import dev.topknot.runtime.program.Program;
import java.awt.BasicStroke;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * A picture of where the steps stand: what each computes for a byte of memory traffic, and how fast
 * it does, under the roof of the machine: the bandwidth, and the fastest product.
 */
final class Roofline {
  private static final int WIDTH = 900;
  private static final int HEIGHT = 560;

  /** Two pixels for one of the chart, for sharp text on dense screens. */
  private static final int DPI = 144;

  private static final Color GREY = new Color(0x777777);

  /** FLOPs a byte at the edges of the picture. */
  private static final double LEAST = 0.25;

  private static final double MOST = 4096;

  private Roofline() {}

  /** Draws all steps that multiply matrices, as PNG. */
  static void write(List<Floors> workloads, Path file) throws IOException {
    double peak = workloads.stream().mapToDouble(Floors::flopsPerSecond).max().orElseThrow();
    double bandwidth = workloads.stream().mapToDouble(Floors::bytesPerSecond).max().orElseThrow();
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title(
                String.format(
                    Locale.ROOT,
                    "Steps of a training call under the roof: %.0f GFLOP/s, %.0f GB/s",
                    peak / 1e9,
                    bandwidth / 1e9))
            .xAxisTitle("FLOPs for a byte of memory traffic, as planned")
            .yAxisTitle("GFLOP/s")
            .build();
    chart.getStyler().setXAxisLogarithmic(true).setYAxisLogarithmic(true);
    chart.getStyler().setXAxisMin(LEAST).setXAxisMax(MOST);
    chart.getStyler().setLegendPosition(LegendPosition.OutsideE);
    chart.getStyler().setChartBackgroundColor(Color.WHITE).setChartTitleBoxVisible(false);
    chart.getStyler().setLegendBorderColor(Color.WHITE);
    chart.getStyler().setMarkerSize(9);
    double ridge = peak / bandwidth;
    XYSeries roof =
        chart.addSeries(
            "roof",
            new double[] {LEAST, ridge, MOST},
            new double[] {LEAST * bandwidth / 1e9, peak / 1e9, peak / 1e9});
    roof.setMarker(SeriesMarkers.NONE).setLineColor(GREY).setLineStyle(new BasicStroke(2));
    for (Floors workload : workloads) {
      add(chart, workload);
    }
    Files.createDirectories(file.toAbsolutePath().getParent());
    BitmapEncoder.saveBitmapWithDPI(chart, file.toString(), BitmapFormat.PNG, DPI);
  }

  private static void add(XYChart chart, Floors workload) {
    List<Double> intensities = new ArrayList<>();
    List<Double> rates = new ArrayList<>();
    for (Phases.Timed step : workload.times(Program.TRAIN).steps()) {
      double flops = step.phase().flops();
      if (flops > 0) {
        intensities.add(flops / step.phase().traffic());
        rates.add(flops / step.seconds() / 1e9);
      }
    }
    chart
        .addSeries(workload.workload(), intensities, rates)
        .setXYSeriesRenderStyle(XYSeriesRenderStyle.Scatter);
  }
}
