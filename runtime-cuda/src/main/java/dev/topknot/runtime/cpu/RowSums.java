package dev.topknot.runtime.cpu;

/** Adds rows on the heap. */
final class RowSums {
  private RowSums() {}

  /** sum += x, for the first {@code count} elements. */
  static void add(float[] x, int count, float[] sum) {
    for (int i = 0; i < count; i++) {
      sum[i] += x[i];
    }
  }

  /** sum += factor · x, for the first {@code count} elements. */
  static void addScaled(float[] x, float factor, int count, float[] sum) {
    for (int i = 0; i < count; i++) {
      sum[i] += factor * x[i];
    }
  }
}
