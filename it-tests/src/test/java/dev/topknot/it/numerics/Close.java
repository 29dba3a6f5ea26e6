package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.Products;

/** The tolerance of fp32 arithmetic, and of products with bf16 operands. */
final class Close {
  /** Of ‖r − q‖ / ‖q‖ in the Frobenius norm, in fp32. */
  static final double TOLERANCE = 1e-5;

  /** Likewise, after products with bf16 operands and fp32 sums. */
  private static final double ROUNDED = 1e-2;

  private Close() {}

  /** Checks that the relative distance of a result from the reference is small; NaN fails. */
  static void check(String name, Matrix actual, Matrix reference) {
    check(name, actual, reference, Products.EXACT);
  }

  /** Likewise, of a result of such products; the reference rounds operands as well. */
  static void check(String name, Matrix actual, Matrix reference, Products products) {
    assertThat(actual.distanceFrom(reference))
        .as("distance of %s from the reference", name)
        .isLessThanOrEqualTo(products == Products.EXACT ? TOLERANCE : ROUNDED);
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
