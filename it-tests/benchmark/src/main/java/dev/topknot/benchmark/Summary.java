package dev.topknot.benchmark;

import java.util.Arrays;
import java.util.List;

/** Some numbers in three. */
record Summary(double median, double min, double max) {

  /** Sums up. */
  static Summary of(List<Double> values) {
    return of(values.stream().mapToDouble(Double::doubleValue).toArray());
  }

  /**
   * Sums up.
   *
   * @throws IllegalArgumentException if there is none
   */
  static Summary of(double... values) {
    if (values.length == 0) {
      throw new IllegalArgumentException("no values");
    }
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    int half = sorted.length / 2;
    double median = sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    return new Summary(median, sorted[0], sorted[sorted.length - 1]);
  }
}
