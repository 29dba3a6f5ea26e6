package dev.topknot.processor.plan;

/**
 * A matrix of 32-bit elements that calls read and write.
 *
 * @param name unique within a program: {@code layer.role}
 * @param rows the number of rows
 * @param columns the length of a row
 * @param integers whether the elements are integers; else they are floats
 */
public record Buffer(String name, Region region, long rows, long columns, boolean integers) {
  /** The bytes of an element. */
  public static final int ELEMENT_BYTES = 4;

  /** The number of elements. */
  public long size() {
    return Math.multiplyExact(rows, columns);
  }

  /** The size in bytes. */
  public long bytes() {
    return Math.multiplyExact(size(), ELEMENT_BYTES);
  }

  /** The gradient of this parameter, which lies at the same offset of the gradient arena. */
  public Buffer gradient() {
    return new Buffer(name, Region.GRADIENTS, rows, columns, integers);
  }
}
