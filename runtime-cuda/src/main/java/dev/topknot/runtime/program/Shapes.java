package dev.topknot.runtime.program;

import dev.topknot.dsl.Optimizer;

/** Checks that several shapes share. */
final class Shapes {
  private Shapes() {}

  static void requirePositive(String name, int size) {
    if (size < 1) {
      throw new IllegalArgumentException(name + " must be positive, but is " + size);
    }
  }

  static void requireKnown(Optimizer optimizer) {
    if (optimizer == Optimizer.ADAM_FACTORED) {
      throw new IllegalArgumentException("expected optimizer ADAM or NONE, got " + optimizer);
    }
  }
}
