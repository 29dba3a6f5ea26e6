package dev.topknot.benchmark;

import java.util.SplittableRandom;

/** Weights and inputs, made from their names alone, so that both sides compute on the same. */
final class Values {
  private Values() {}

  /**
   * Multiples of 2^-bits between -bound and bound. Where the bits of two factors are few, their
   * products add up without rounding, in any order.
   */
  static float[] uniform(String name, int size, double bound, int bits) {
    SplittableRandom random = new SplittableRandom(name.hashCode());
    double range = bound * 0x1p-31 * (1L << bits);
    float step = 1f / (1L << bits);
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = Math.round(random.nextInt() * range) * step;
    }
    return values;
  }

  /** Ints from 0 to limit - 1. */
  static int[] ids(String name, int size, int limit) {
    return new SplittableRandom(name.hashCode()).ints(size, 0, limit).toArray();
  }
}
