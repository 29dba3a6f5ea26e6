package dev.topknot.processor.plan;

import java.util.Optional;

/** The blocks of a launch, the same in every step: enough for the most tokens. */
public record Grid(long x, long y, long z) {
  /** CUDA's limit on y and z; x has 31 bits. */
  private static final int MOST = 65_535;

  /** Refuses what has no blocks. */
  public Grid {
    if (x < 1 || y < 1 || z < 1) {
      throw new IllegalArgumentException("no grid: " + x + " x " + y + " x " + z);
    }
  }

  /** What CUDA cannot launch, in words; absent where it can. */
  Optional<String> excess() {
    return x <= Integer.MAX_VALUE && y <= MOST && z <= MOST
        ? Optional.empty()
        : Optional.of(
            "%d x %d x %d blocks, above 2^31 - 1 x %d x %d".formatted(x, y, z, MOST, MOST));
  }

  /** A grid of one dimension. */
  public static Grid of(long x) {
    return of(x, 1, 1);
  }

  /** A grid of two dimensions. */
  public static Grid of(long x, long y) {
    return of(x, y, 1);
  }

  /** A grid of three dimensions. */
  public static Grid of(long x, long y, long z) {
    return new Grid(x, y, z);
  }

  /** The number of blocks of {@code size} that cover {@code count}: their quotient, rounded up. */
  public static long blocks(long count, long size) {
    return Math.addExact(count, size - 1) / size;
  }

  /** The number of blocks. */
  public long blocks() {
    return Math.multiplyExact(Math.multiplyExact(x, y), z);
  }
}
