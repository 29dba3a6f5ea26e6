package dev.topknot.processor.plan;

/** The blocks of a launch, the same in every step: enough for the most tokens. */
public record Grid(int x, int y, int z) {
  /** CUDA's limit on y and z. */
  private static final int MOST = 65_535;

  /** Refuses what CUDA does. */
  public Grid {
    if (x < 1 || y < 1 || z < 1 || y > MOST || z > MOST) {
      throw new IllegalArgumentException("no grid: " + x + " x " + y + " x " + z);
    }
  }

  /** A grid of one dimension. */
  public static Grid of(long x) {
    return of(x, 1, 1);
  }

  /** A grid of two dimensions. */
  public static Grid of(long x, long y) {
    return of(x, y, 1);
  }

  /**
   * A grid of three dimensions.
   *
   * @throws ArithmeticException if one of them does not fit an int
   */
  public static Grid of(long x, long y, long z) {
    return new Grid(Math.toIntExact(x), Math.toIntExact(y), Math.toIntExact(z));
  }

  /** The number of blocks of {@code size} that cover {@code count}: their quotient, rounded up. */
  public static long blocks(long count, long size) {
    return Math.addExact(count, size - 1) / size;
  }

  /** The number of blocks. */
  public long blocks() {
    return Math.multiplyExact(Math.multiplyExact((long) x, y), z);
  }
}
