package dev.topknot.runtime.cpu;

/**
 * Off-heap memory of 32-bit words with 64-bit sizes, aligned to 64 bytes, zero when allocated.
 * Pages become real when they are first written. Parameters, activations and gradients live in
 * arenas as {@link Matrix} and {@link Ints} views at offsets fixed by the memory plan.
 *
 * <p>An arena is freed by {@link #close} only. Views of a closed arena throw {@link
 * IllegalStateException}; closing while another thread is inside an operation on a view is the
 * owner's error and is not guarded against.
 */
public final class Arena implements AutoCloseable {
  private final Region region;

  private Arena(Region region) {
    this.region = region;
  }

  /**
   * Allocates zeroed memory.
   *
   * @param floats the size in floats
   * @throws IllegalArgumentException if the size is negative or not addressable
   * @throws OutOfMemoryError naming the bytes wanted, if they cannot be had
   */
  public static Arena allocate(long floats) {
    return new Arena(Region.allocate(floats));
  }

  /** The size in floats. */
  public long size() {
    return region.size();
  }

  /**
   * A matrix over this memory.
   *
   * @param offset where it begins, in floats
   * @param rows its rows
   * @param columns its columns; rows are stored one after the other
   * @throws IllegalArgumentException if it does not fit the arena
   */
  public Matrix matrix(long offset, long rows, long columns) {
    region.checkOpen();
    Matrix.checkShape(rows, columns);
    checkRange(offset, rows * columns, rows + " x " + columns + " floats");
    return new Matrix(region, offset, rows, columns);
  }

  /**
   * A run of ints over this memory.
   *
   * @param offset where it begins, in 32-bit words
   * @param size how many ints
   * @throws IllegalArgumentException if it does not fit the arena
   */
  public Ints ints(long offset, long size) {
    region.checkOpen();
    checkRange(offset, size, size + " ints");
    return new Ints(region, offset, size);
  }

  private void checkRange(long offset, long size, String what) {
    if (offset < 0 || size < 0 || size > region.size() - offset) {
      throw new IllegalArgumentException(
          String.format("%s at %d do not fit an arena of %d words", what, offset, region.size()));
    }
  }

  /** Frees the memory; further calls do nothing. */
  @Override
  public void close() {
    region.close();
  }
}
