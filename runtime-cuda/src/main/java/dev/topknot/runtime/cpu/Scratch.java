package dev.topknot.runtime.cpu;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Off-heap matrices of an operation's own, small beside the planned workspace. */
final class Scratch {
  /** A slice of it may lose this many bytes at its beginning and at its end. */
  private static final int ALIGNMENT = 64;

  private Scratch() {}

  /**
   * A zeroed matrix that lives as long as it is reachable.
   *
   * @throws ArithmeticException if it has 2^31 bytes or more
   */
  static Matrix matrix(long rows, long columns) {
    long bytes = Math.multiplyExact(Math.multiplyExact(rows, columns), Float.BYTES);
    ByteBuffer buffer =
        ByteBuffer.allocateDirect(Math.toIntExact(bytes + 2 * ALIGNMENT)).alignedSlice(ALIGNMENT);
    return Matrix.wrap(buffer.order(ByteOrder.nativeOrder()).asFloatBuffer(), rows, columns);
  }
}
