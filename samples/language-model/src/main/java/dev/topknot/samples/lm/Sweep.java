package dev.topknot.samples.lm;

import static dev.topknot.samples.lm.sweep.SweepModel.LSTM_4;
import static dev.topknot.samples.lm.sweep.SweepModel.LSTM_4_HALF;
import static dev.topknot.samples.lm.sweep.SweepModel.LSTM_4_TWICE;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_1024_H;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_1_DEEP;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_1_WIDE;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_256;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_256_H;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_32;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_32_BATCH;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_32_HALF;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_32_TWICE;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_4;
import static dev.topknot.samples.lm.sweep.SweepModel.MOE_4096_H;

import dev.topknot.samples.lm.SweepResult.Evenness;
import dev.topknot.samples.lm.sweep.Scale;
import dev.topknot.samples.lm.sweep.SweepModel;
import java.util.List;
import java.util.Locale;

/**
 * What a sweep trains, and what [S17] found for the same: perplexity on the 1-Billion-Word text.
 */
enum Sweep {
  /** More and more experts at the same number of operations. */
  FIGURE2_LEFT(
      "Figure 2, left: perplexity by parameters at equal operations",
      row(Sweep.DENSE, LSTM_4, 46.0),
      row(Sweep.DENSE, MOE_1_WIDE, 46.1),
      row(Sweep.DENSE, MOE_1_DEEP, 45.7),
      row("MoE", MOE_4, 45.0),
      row("MoE", MOE_32, 39.7),
      row("MoE", MOE_256, 35.7),
      row("hierarchical MoE", MOE_256_H, 36.0),
      row("hierarchical MoE", MOE_1024_H, 34.6),
      row("hierarchical MoE", MOE_4096_H, 34.1)),
  /** Wider and wider models, with experts and without. */
  FIGURE2_RIGHT(
      "Figure 2, right: perplexity by operations",
      row(Sweep.LSTM, LSTM_4_HALF, Double.NaN),
      row(Sweep.LSTM, LSTM_4, 46.0),
      row(Sweep.LSTM, LSTM_4_TWICE, Double.NaN),
      row("MoE-32", MOE_32_HALF, Double.NaN),
      row("MoE-32", MOE_32, 39.7),
      row("MoE-32", MOE_32_TWICE, Double.NaN)),
  /** Weights of the balancing losses. */
  TABLE6("Table 6: weights of the balancing losses", losses(MOE_256)),
  /** The same with fewer experts, of which each has as many more tokens of a batch. */
  TABLE6_32("Table 6 with 32 experts: weights of the balancing losses", losses(MOE_32)),
  /** The same with batches so large that chance spreads an expert's tokens less. */
  TABLE6_BATCH(
      "Table 6 with 32 experts and large batches: weights of the balancing losses",
      losses(MOE_32_BATCH));

  /** The series of the models without a choice between experts. */
  static final String DENSE = "dense";

  /** Likewise, of all widths. */
  private static final String LSTM = "LSTM";

  /** The weight of both losses in the annotations, [S17] appendix C. */
  private static final double ANNOTATED = 0.1;

  private final String title;

  @SuppressWarnings("ImmutableEnumChecker") // a list of records
  private final List<Row> rows;

  Sweep(String title, Row... rows) {
    this.title = title;
    this.rows = List.of(rows);
  }

  /**
   * One run.
   *
   * @param label what to call it
   * @param series what it belongs to in a chart
   * @param model what is trained
   * @param importanceLoss weight of CV(importance)², null for the annotated one
   * @param loadLoss weight of CV(load)², null for the annotated one
   * @param paper perplexity in [S17]; NaN if it has no such model
   * @param paperBalance balance in [S17]
   */
  record Row(
      String label,
      String series,
      SweepModel model,
      Double importanceLoss,
      Double loadLoss,
      double paper,
      Evenness paperBalance) {

    /**
     * The settings of the run. What is without effect is not set, so that sweeps share runs: losses
     * of models without a choice, and weights that are as annotated.
     */
    Settings settings(Settings base, Scale scale) {
      Settings settings = base.withModel(new SweptModel(model, scale));
      if (series.equals(DENSE) || series.equals(LSTM)) {
        return settings.withLosses(null, null);
      }
      return importanceLoss == null || (importanceLoss == ANNOTATED && loadLoss == ANNOTATED)
          ? settings
          : settings.withLosses(importanceLoss, loadLoss);
    }
  }

  private static Row row(String series, SweepModel model, double paper) {
    return new Row(model.label(), series, model, null, null, paper, Evenness.NONE);
  }

  /** The pairs of weights, and what [S17] found for 256 experts. */
  private static Row[] losses(SweepModel model) {
    return new Row[] {
      row(model, 0.0, 0.0, 39.8, 3.04, 3.01, 17.80),
      row(model, 0.2, 0.0, 35.6, 0.06, 0.17, 1.47),
      row(model, 0.0, 0.2, 35.7, 0.22, 0.04, 1.15),
      row(model, 0.1, 0.1, 35.6, 0.06, 0.05, 1.14),
      row(model, 0.01, 0.01, 35.7, 0.48, 0.11, 1.37),
      row(model, 1.0, 1.0, 35.7, 0.03, 0.02, 1.07)
    };
  }

  private static Row row(
      SweepModel model,
      double importanceLoss,
      double loadLoss,
      double paper,
      double cv,
      double load,
      double max) {
    String label =
        String.format(Locale.ROOT, "%s, losses %s and %s", model.label(), importanceLoss, loadLoss);
    return new Row(
        label, "MoE", model, importanceLoss, loadLoss, paper, new Evenness(cv, load, max));
  }

  /** Whether the weights of the losses are what it tries. */
  boolean triesLosses() {
    return rows.get(0).importanceLoss() != null;
  }

  String title() {
    return title;
  }

  List<Row> rows() {
    return rows;
  }

  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
