package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.Tensor;

/** A tensor in the memory of the CPU: a matrix whose rows are the first dimension. */
final class CpuTensor extends Tensor {
  private final Matrix matrix;
  private final Arena owned;
  private boolean closed;
  private long writes;

  /**
   * A tensor over a matrix of as many elements.
   *
   * @param owned what closing frees, or null
   */
  CpuTensor(Device device, Matrix matrix, Arena owned, long... shape) {
    super(device, shape);
    this.matrix = matrix;
    this.owned = owned;
  }

  /** Rows of the matrix of a shape. */
  static long rows(long... shape) {
    return shape.length == 0 ? 1 : shape[0];
  }

  /** Columns of the matrix of a shape. */
  static long columns(long... shape) {
    long columns = 1;
    for (int i = 1; i < shape.length; i++) {
      columns *= shape[i];
    }
    return columns;
  }

  /** The memory. */
  Matrix matrix() {
    requireOpen();
    return matrix;
  }

  /** The memory, about to be written to. */
  Matrix written() {
    requireOpen();
    writes++;
    return matrix;
  }

  /** How often it was written to. */
  long writes() {
    return writes;
  }

  boolean isOpen() {
    return !closed;
  }

  @Override
  public void read(long from, float[] to, int at, int count) {
    matrix().read(from, to, at, count);
  }

  @Override
  public void write(long to, float[] from, int at, int count) {
    written().write(to, from, at, count);
  }

  @Override
  public void fill(float value) {
    written().fill(value);
  }

  @Override
  public void close() {
    closed = true;
    if (owned != null) {
      owned.close();
    }
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException(this + " is closed");
    }
  }
}
