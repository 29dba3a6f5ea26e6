package dev.topknot.runtime.cuda;

import dev.topknot.runtime.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Objects;

/** A tensor in the memory of a CUDA device. */
final class CudaTensor extends Tensor {
  /** Most floats of one copy between an array and the device. */
  private static final int PIECE = 1 << 20;

  private final Driver driver;
  private final CudaArena arena;
  private final long offset;
  private final boolean owner;
  private boolean closed;
  private long writes;

  /**
   * A tensor over a part of an arena.
   *
   * @param offset in floats
   * @param owner whether closing the tensor frees the arena
   */
  CudaTensor(CudaDevice device, CudaArena arena, long offset, boolean owner, long... shape) {
    super(device, shape);
    this.driver = device.driver();
    this.arena = arena;
    this.offset = offset;
    this.owner = owner;
  }

  /** Where the first float is. */
  long address() {
    requireOpen();
    return arena.at(offset);
  }

  /** Where the first float is, which is about to be written. */
  long written() {
    writes++;
    return address();
  }

  /** How often it was written to. */
  long writes() {
    return writes;
  }

  boolean isOpen() {
    return !closed && arena.isOpen();
  }

  boolean overlaps(CudaTensor other) {
    return address() < other.address() + Float.BYTES * other.size()
        && other.address() < address() + Float.BYTES * size();
  }

  @Override
  public void read(long from, float[] to, int at, int count) {
    long address = address();
    requireRange(from, to, at, count);
    ByteBuffer piece = piece(count);
    for (int done = 0; done < count; done += PIECE) {
      int floats = Math.min(PIECE, count - done);
      piece.clear().limit(Float.BYTES * floats);
      driver.read(piece, address + Float.BYTES * (from + done));
      piece.clear();
      piece.asFloatBuffer().get(to, at + done, floats);
    }
  }

  @Override
  public void write(long to, float[] from, int at, int count) {
    long address = written();
    requireRange(to, from, at, count);
    ByteBuffer piece = piece(count);
    for (int done = 0; done < count; done += PIECE) {
      int floats = Math.min(PIECE, count - done);
      piece.clear().limit(Float.BYTES * floats);
      piece.asFloatBuffer().put(from, at + done, floats);
      driver.write(address + Float.BYTES * (to + done), piece);
      driver.synchronize();
    }
  }

  @Override
  public void fill(float value) {
    driver.fill(written(), Float.floatToRawIntBits(value), size());
  }

  /** Whether some floats have neither a NaN nor an infinity among them. */
  boolean isFinite(long from, long count) {
    float[] values = new float[(int) Math.min(PIECE, count)];
    for (long done = 0; done < count; done += PIECE) {
      int floats = (int) Math.min(PIECE, count - done);
      read(from + done, values, 0, floats);
      for (int i = 0; i < floats; i++) {
        if (!Float.isFinite(values[i])) {
          return false;
        }
      }
    }
    return true;
  }

  @Override
  public void close() {
    if (!closed && owner) {
      arena.close();
    }
    closed = true;
  }

  private static ByteBuffer piece(int count) {
    return ByteBuffer.allocateDirect(Float.BYTES * Math.min(PIECE, count))
        .order(ByteOrder.nativeOrder());
  }

  private void requireRange(long index, float[] array, int at, int count) {
    Objects.checkFromIndexSize(at, count, array.length);
    Objects.checkFromIndexSize(index, count, size());
  }

  private void requireOpen() {
    if (!isOpen()) {
      throw new IllegalStateException(this + " is closed");
    }
  }
}
