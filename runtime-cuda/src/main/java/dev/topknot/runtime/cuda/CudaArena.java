package dev.topknot.runtime.cuda;

/** Device memory of 32-bit words at offsets fixed by the memory plan. */
public final class CudaArena implements AutoCloseable {
  private final Driver driver;
  private final long address;
  private final long words;
  private boolean closed;

  private CudaArena(Driver driver, long address, long words) {
    this.driver = driver;
    this.address = address;
    this.words = words;
  }

  /**
   * Takes memory of any content.
   *
   * @throws OutOfMemoryError naming the bytes wanted
   */
  static CudaArena allocate(Driver driver, long words) {
    long bytes = Math.multiplyExact(Math.max(1, words), Integer.BYTES);
    return new CudaArena(driver, driver.allocate(bytes), words);
  }

  /** Takes memory of zeros. */
  static CudaArena zeros(Driver driver, long words) {
    CudaArena arena = allocate(driver, words);
    try {
      driver.fill(arena.address, 0, words);
      return arena;
    } catch (Throwable t) {
      arena.close();
      throw t;
    }
  }

  /**
   * The address of a word.
   *
   * @param offset in 32-bit words
   * @throws IllegalArgumentException if it lies outside
   */
  public long at(long offset) {
    if (offset < 0 || offset > words) {
      throw new IllegalArgumentException(
          "offset " + offset + " is outside an arena of " + words + " words");
    }
    return address + Integer.BYTES * offset;
  }

  /** The size in 32-bit words. */
  public long size() {
    return words;
  }

  boolean isOpen() {
    return !closed;
  }

  /** Frees the memory; further calls do nothing. */
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      driver.free(address);
    }
  }
}
