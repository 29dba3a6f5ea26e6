package dev.topknot.runtime;

import dev.topknot.runtime.cpu.CpuDevice;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Objects;

/**
 * A block of 32-bit floats of some shape on a device, row-major, with 64-bit sizes. Whoever made it
 * closes it; any use after that is an {@link IllegalStateException}. A tensor got from a {@link
 * Parameter} is a view of the model's memory and ends with the model; closing the view frees
 * nothing.
 */
public abstract class Tensor implements AutoCloseable {
  private final Device device;
  private final long[] shape;
  private final long size;

  /**
   * For implementations of the runtime.
   *
   * @param device where it lies
   * @param shape its dimensions
   */
  protected Tensor(Device device, long... shape) {
    this.device = Objects.requireNonNull(device, "device");
    this.shape = shape.clone();
    this.size = size(shape);
  }

  /**
   * A tensor on the CPU over a direct buffer, from its position to its limit, without a copy. The
   * memory stays the buffer's, which must outlive the tensor.
   *
   * @param direct direct, writable, of native byte order, with exactly as many floats remaining as
   *     the shape has
   * @param shape its dimensions
   */
  public static Tensor wrap(FloatBuffer direct, long... shape) {
    return CpuDevice.wrap(direct, shape);
  }

  /**
   * The number of elements of a shape.
   *
   * @throws IllegalArgumentException for a negative dimension or a product beyond 64 bits
   */
  public static long size(long... shape) {
    long product = 1;
    for (long dimension : shape) {
      if (dimension < 0 || Math.multiplyHigh(product, dimension) != 0 || product * dimension < 0) {
        throw new IllegalArgumentException(
            "not a shape: "
                + Arrays.toString(shape)
                + "; expected dimensions of 0 or more with a product below 2^63");
      }
      product *= dimension;
    }
    return product;
  }

  /** Where it lies. */
  public final Device device() {
    return device;
  }

  /** Its dimensions (a copy). */
  public final long[] shape() {
    return shape.clone();
  }

  /** How many dimensions the shape has. */
  public final int rank() {
    return shape.length;
  }

  /**
   * The size of one dimension.
   *
   * @throws IndexOutOfBoundsException if there is none of that number
   */
  public final long dimension(int index) {
    return shape[index];
  }

  /** Number of elements. */
  public final long size() {
    return size;
  }

  /**
   * Copies all of an array to this tensor.
   *
   * @throws IllegalArgumentException unless the array has as many elements
   */
  public final void copyFrom(float[] values) {
    requireLength(values.length);
    write(0, values, 0, values.length);
  }

  /**
   * Copies this tensor to an array.
   *
   * @throws IllegalArgumentException unless the array has as many elements
   */
  public final void copyTo(float[] values) {
    requireLength(values.length);
    read(0, values, 0, values.length);
  }

  /**
   * Copies a part of this tensor to a part of an array.
   *
   * @param from row-major index of the first element
   * @param to receives the elements
   * @param at where in the array the first goes
   * @param count how many
   * @throws IndexOutOfBoundsException if either part does not exist
   */
  public abstract void read(long from, float[] to, int at, int count);

  /**
   * Copies a part of an array to a part of this tensor.
   *
   * @param to row-major index of the first element
   * @param from holds the elements
   * @param at where in the array the first is
   * @param count how many
   * @throws IndexOutOfBoundsException if either part does not exist
   */
  public abstract void write(long to, float[] from, int at, int count);

  /** One element. */
  public final float get(long... index) {
    float[] value = new float[1];
    read(offset(index), value, 0, 1);
    return value[0];
  }

  /** Sets one element. */
  public final void set(float value, long... index) {
    write(offset(index), new float[] {value}, 0, 1);
  }

  /** Sets every element. */
  public abstract void fill(float value);

  /** Frees the memory if it is this tensor's own; a second call does nothing. */
  @Override
  public abstract void close();

  @Override
  public String toString() {
    return "Tensor" + Arrays.toString(shape) + " on " + device;
  }

  private long offset(long... index) {
    if (index.length != shape.length) {
      throw new IndexOutOfBoundsException(
          "expected "
              + shape.length
              + " indices for shape "
              + Arrays.toString(shape)
              + ", got "
              + Arrays.toString(index));
    }
    long offset = 0;
    for (int i = 0; i < index.length; i++) {
      if (index[i] < 0 || index[i] >= shape[i]) {
        throw new IndexOutOfBoundsException(
            Arrays.toString(index) + " is outside shape " + Arrays.toString(shape));
      }
      offset = offset * shape[i] + index[i];
    }
    return offset;
  }

  private void requireLength(long length) {
    if (length != size) {
      throw new IllegalArgumentException(
          String.format(
              "expected an array of %d elements for shape %s, got %d",
              size, Arrays.toString(shape), length));
    }
  }
}
