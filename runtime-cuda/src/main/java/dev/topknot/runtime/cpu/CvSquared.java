package dev.topknot.runtime.cpu;

/**
 * The squared coefficient of variation, Var(v) / (mean(v)² + ε), ε = 1e-10, with the population
 * variance ([S17] eq. 7 and 11): finite for equal and for all-zero entries.
 */
public final class CvSquared {
  private static final double EPSILON = 1e-10;

  private CvSquared() {}

  /** The value; one entry an expert. */
  public static double of(double[] v) {
    double mean = mean(v);
    return variance(v, mean) / (mean * mean + EPSILON);
  }

  /** Writes weight · dCV²/dv into {@code slope}. */
  static void slope(double[] v, double weight, float[] slope) {
    double mean = mean(v);
    double floor = mean * mean + EPSILON;
    double shared = 2 * mean * variance(v, mean) / (floor * floor);
    for (int i = 0; i < v.length; i++) {
      slope[i] = (float) (weight / v.length * (2 * (v[i] - mean) / floor - shared));
    }
  }

  private static double mean(double[] v) {
    double sum = 0;
    for (double value : v) {
      sum += value;
    }
    return sum / v.length;
  }

  private static double variance(double[] v, double mean) {
    double sum = 0;
    for (double value : v) {
      sum += (value - mean) * (value - mean);
    }
    return sum / v.length;
  }
}
