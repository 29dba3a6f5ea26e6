package dev.topknot.runtime.cpu;

import java.nio.FloatBuffer;
import java.util.Objects;

/**
 * A float32 matrix, row-major and without gaps, over a part of an {@link Arena} or of a direct
 * buffer. Linear indices count floats from the first element. A view holds no data; copies of it
 * see the same memory. Bulk reads and writes cost about a memory copy and may run on several
 * threads at once where their ranges do not overlap.
 */
public final class Matrix {
  private final Region region;
  private final long offset;
  private final long rows;
  private final long columns;
  private final long size;

  Matrix(Region region, long offset, long rows, long columns) {
    this.region = region;
    this.offset = offset;
    this.rows = rows;
    this.columns = columns;
    this.size = rows * columns;
  }

  /**
   * A matrix over a direct buffer, from its position on; the buffer's position and limit are left
   * alone. The memory stays the buffer's.
   *
   * @throws IllegalArgumentException if the buffer is not direct, writable and of native order, or
   *     has fewer than {@code rows * columns} floats remaining
   */
  public static Matrix wrap(FloatBuffer direct, long rows, long columns) {
    checkShape(rows, columns);
    if (rows * columns > direct.remaining()) {
      throw new IllegalArgumentException(
          String.format(
              "%d x %d floats do not fit a buffer with %d remaining",
              rows, columns, direct.remaining()));
    }
    return new Matrix(Region.wrap(direct), 0, rows, columns);
  }

  static void checkShape(long rows, long columns) {
    if (rows < 0 || columns < 0 || Math.multiplyHigh(rows, columns) != 0 || rows * columns < 0) {
      throw new IllegalArgumentException("not a shape: " + rows + " x " + columns);
    }
  }

  /** The number of rows. */
  public long rows() {
    return rows;
  }

  /** The number of columns. */
  public long columns() {
    return columns;
  }

  /** Rows times columns. */
  public long size() {
    return size;
  }

  /** One element. */
  public float get(long row, long column) {
    return region.getFloat(offset + index(row, column));
  }

  /** Sets one element. */
  public void set(long row, long column, float v) {
    region.setFloat(offset + index(row, column), v);
  }

  private long index(long row, long column) {
    return Objects.checkIndex(row, rows) * columns + Objects.checkIndex(column, columns);
  }

  /** Copies {@code count} floats from linear index {@code from} into {@code to[at..]}. */
  public void read(long from, float[] to, int at, int count) {
    Objects.checkFromIndexSize(from, count, size);
    region.read(offset + from, to, at, count);
  }

  /** Copies {@code count} floats of {@code from[at..]} to linear index {@code to}. */
  public void write(long to, float[] from, int at, int count) {
    Objects.checkFromIndexSize(to, count, size);
    region.write(offset + to, from, at, count);
  }

  /**
   * Copies another matrix of the same shape.
   *
   * @throws IllegalArgumentException if the shapes differ
   */
  public void copyFrom(Matrix other) {
    if (other.rows != rows || other.columns != columns) {
      throw new IllegalArgumentException("expected " + this + ", got " + other);
    }
    region.copy(offset, other.region, other.offset, size);
  }

  /** Sets every element. */
  public void fill(float v) {
    region.fill(offset, size, v);
  }

  /** Sets {@code count} floats from linear index {@code from} to zero. */
  public void zero(long from, long count) {
    Objects.checkFromIndexSize(from, count, size);
    region.zero(offset + from, count);
  }

  /** Rows {@code from} to {@code from + count} as a view of the same memory. */
  public Matrix rows(long from, long count) {
    Objects.checkFromIndexSize(from, count, rows);
    return new Matrix(region, offset + from * columns, count, columns);
  }

  /** Whether none of {@code count} floats from linear index {@code from} is NaN or infinite. */
  public boolean isFinite(long from, long count) {
    Objects.checkFromIndexSize(from, count, size);
    return region.isFinite(offset + from, count);
  }

  /** Whether the two have an element in common. */
  boolean overlaps(Matrix other) {
    return region.overlaps(offset, size, other.region, other.offset, other.size);
  }

  /** Whether native code can be given addresses in this matrix. */
  boolean hasAddress() {
    return region.hasAddress();
  }

  /** The address of the float at linear index {@code at}. */
  long address(long at) {
    return region.address(offset + at);
  }

  /** The shape. */
  @Override
  public String toString() {
    return "[" + rows + ", " + columns + "]";
  }
}
