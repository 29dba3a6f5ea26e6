package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.reference.Matrix;

/** The tolerance of single-precision arithmetic. */
final class Close {
  /** Of ‖r − q‖ / ‖q‖ in the Frobenius norm. */
  static final double TOLERANCE = 1e-5;

  private Close() {}

  /** Checks that the relative distance of a result from the reference is small; NaN fails. */
  static void check(String name, Matrix actual, Matrix reference) {
    assertThat(actual.distanceFrom(reference))
        .as("distance of %s from the reference", name)
        .isLessThanOrEqualTo(TOLERANCE);
  }

  /** Checks the rows that count, and that nobody wrote to the others. */
  static void check(
      String name, dev.topknot.runtime.cpu.Matrix actual, int valid, Matrix reference) {
    check(name, Buffers.read(actual, valid), reference);
    float[] all = Buffers.floats(actual);
    for (int i = Math.toIntExact(valid * actual.columns()); i < all.length; i++) {
      assertThat(all[i]).as("%s beyond the valid rows, at %d", name, i).isNaN();
    }
  }

  /** Checks all rows. */
  static void check(String name, dev.topknot.runtime.cpu.Matrix actual, Matrix reference) {
    check(name, Buffers.read(actual), reference);
  }
}
