package dev.topknot.it.reference;

import java.util.Arrays;

/** The squared coefficient of variation, the balancing loss of [S17] eq. 7 and app. A. */
public final class Balance {
  private static final double EPSILON = 1e-10;

  private Balance() {}

  /** CV²(v) = Var(v) / (mean(v)² + 1e-10), with the population variance. */
  public static double cvSquared(double[] v) {
    double mean = mean(v);
    return variance(v, mean) / (mean * mean + EPSILON);
  }

  /** The gradient of CV²; finite everywhere, zero where all entries are equal. */
  public static double[] cvSquaredGradient(double[] v) {
    double mean = mean(v);
    double denominator = mean * mean + EPSILON;
    double ratio = variance(v, mean) / denominator;
    return Arrays.stream(v)
        .map(value -> 2 * (value - mean - ratio * mean) / (v.length * denominator))
        .toArray();
  }

  private static double mean(double[] v) {
    return Arrays.stream(v).sum() / v.length;
  }

  private static double variance(double[] v, double mean) {
    return Arrays.stream(v).map(value -> (value - mean) * (value - mean)).sum() / v.length;
  }
}
