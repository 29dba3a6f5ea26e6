package dev.topknot.runtime;

import java.util.Arrays;

/**
 * How evenly the gate of one MoE layer spread the tokens of a call over its experts ([S17] section
 * 4 and appendix A).
 *
 * @param layer name of the layer; empty for a layer that stands alone
 * @param importance sum of the gate values of each expert over the valid tokens
 * @param load smooth estimate of the tokens each expert gets; the count itself without noise
 * @param tokens how many tokens selected each expert
 * @param importanceLoss w_importance · CV²(importance), as it entered the gradient
 * @param loadLoss w_load · CV²(load), as it entered the gradient
 * @param droppedTokens valid tokens that no expert was chosen for, as strictly balanced gating can
 *     leave them
 */
@SuppressWarnings("ArrayRecordComponent")
public record Balance(
    String layer,
    double[] importance,
    double[] load,
    long[] tokens,
    double importanceLoss,
    double loadLoss,
    long droppedTokens) {

  /** Of a gate that sends every token somewhere. */
  public Balance(
      String layer,
      double[] importance,
      double[] load,
      long[] tokens,
      double importanceLoss,
      double loadLoss) {
    this(layer, importance, load, tokens, importanceLoss, loadLoss, 0);
  }

  /** Copies the arrays and checks that they speak of the same experts. */
  public Balance {
    if (importance.length != load.length || importance.length != tokens.length) {
      throw new IllegalArgumentException(
          "importance, load and tokens must have one entry an expert, but have "
              + importance.length
              + ", "
              + load.length
              + " and "
              + tokens.length);
    }
    importance = importance.clone();
    load = load.clone();
    tokens = tokens.clone();
  }

  /** Sum of the gate values of each expert (a copy). */
  @Override
  public double[] importance() {
    return importance.clone();
  }

  /** Load of each expert (a copy). */
  @Override
  public double[] load() {
    return load.clone();
  }

  /** Tokens that selected each expert (a copy). */
  @Override
  public long[] tokens() {
    return tokens.clone();
  }

  /** Number of experts. */
  public int experts() {
    return importance.length;
  }

  /** Coefficient of variation of the importance: standard deviation over mean; 0 when all is 0. */
  public double importanceCv() {
    return cv(importance);
  }

  /** Coefficient of variation of the load: standard deviation over mean; 0 when all is 0. */
  public double loadCv() {
    return cv(load);
  }

  /** The largest load over the mean load; 1 is perfect, and the value when nothing was routed. */
  public double maxOverMeanLoad() {
    double sum = 0;
    double max = 0;
    for (double l : load) {
      sum += l;
      max = Math.max(max, l);
    }
    return sum == 0 ? 1 : max * load.length / sum;
  }

  /** The same with so many tokens that no expert was chosen for. */
  public Balance withDropped(long count) {
    return new Balance(layer, importance, load, tokens, importanceLoss, loadLoss, count);
  }

  /**
   * The sum of two calls of the same layer, entry by entry, losses included.
   *
   * @throws IllegalArgumentException for another number of experts
   */
  public Balance plus(Balance other) {
    if (other.experts() != experts()) {
      throw new IllegalArgumentException(
          "expected the balance of " + experts() + " experts, but got " + other.experts());
    }
    double[] importanceSum = importance.clone();
    double[] loadSum = load.clone();
    long[] tokensSum = tokens.clone();
    for (int i = 0; i < experts(); i++) {
      importanceSum[i] += other.importance[i];
      loadSum[i] += other.load[i];
      tokensSum[i] += other.tokens[i];
    }
    return new Balance(
        layer,
        importanceSum,
        loadSum,
        tokensSum,
        importanceLoss + other.importanceLoss,
        loadLoss + other.loadLoss,
        droppedTokens + other.droppedTokens);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Balance that
        && layer.equals(that.layer)
        && Arrays.equals(importance, that.importance)
        && Arrays.equals(load, that.load)
        && Arrays.equals(tokens, that.tokens)
        && Double.compare(importanceLoss, that.importanceLoss) == 0
        && Double.compare(loadLoss, that.loadLoss) == 0
        && droppedTokens == that.droppedTokens;
  }

  @Override
  public int hashCode() {
    return 31 * layer.hashCode() + Arrays.hashCode(tokens);
  }

  @Override
  public String toString() {
    return String.format(
        "Balance[%s: CV(importance) %.3f, CV(load) %.3f, max/mean load %.2f]",
        layer, importanceCv(), loadCv(), maxOverMeanLoad());
  }

  private static double cv(double[] values) {
    double sum = 0;
    for (double v : values) {
      sum += v;
    }
    double mean = sum / values.length;
    if (mean == 0) {
      return 0;
    }
    double squares = 0;
    for (double v : values) {
      squares += (v - mean) * (v - mean);
    }
    return Math.sqrt(squares / values.length) / Math.abs(mean);
  }
}
