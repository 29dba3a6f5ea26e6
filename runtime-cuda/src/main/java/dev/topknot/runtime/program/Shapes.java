package dev.topknot.runtime.program;

/** Checks that several shapes share. */
final class Shapes {
  private Shapes() {}

  static void requirePositive(String name, int size) {
    if (size < 1) {
      throw new IllegalArgumentException(name + " must be positive, but is " + size);
    }
  }
}
