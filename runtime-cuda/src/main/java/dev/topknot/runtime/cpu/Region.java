package dev.topknot.runtime.cpu;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Objects;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;

/**
 * A run of off-heap 32-bit words with 64-bit indices, seen as floats and as ints. A direct buffer
 * ends at 2^31 bytes, so the run is cut into slices of 1 GiB; bulk copies split at their borders.
 */
final class Region {
  /** A slice holds 2^28 words, which is 1 GiB. */
  private static final int SLICE_BITS = 28;

  private static final long SLICE = 1L << SLICE_BITS;
  private static final long IN_SLICE = SLICE - 1;
  private static final int ALIGNMENT = 64;
  private static final int INFINITY_BITS = Float.floatToRawIntBits(Float.POSITIVE_INFINITY);
  private static final float[] ZEROS = new float[16 * 1024];

  private final long size;
  private final FloatBuffer[] floats;
  private final IntBuffer[] ints;

  /** The base of the memory, 0 where it is not known because JavaCPP's natives do not load. */
  private final long address;

  /** What {@code close} frees; null where the buffers own their memory. */
  private final Pointer memory;

  private volatile boolean closed;

  private Region(long size, FloatBuffer[] floats, IntBuffer[] ints, long address, Pointer memory) {
    this.size = size;
    this.floats = floats;
    this.ints = ints;
    this.address = address;
    this.memory = memory;
  }

  /** Zeroed memory of {@code size} words; pages become real when first written. */
  static Region allocate(long size) {
    if (size < 0 || size > (Long.MAX_VALUE - ALIGNMENT) / Float.BYTES) {
      throw new IllegalArgumentException("an arena of " + size + " floats: expected 0 or more");
    }
    try {
      return Native.available() ? Native.allocate(size) : allocateDirect(size);
    } catch (OutOfMemoryError e) {
      long bytes = size * Float.BYTES;
      OutOfMemoryError error =
          new OutOfMemoryError(
              String.format(
                  "an arena of %,d floats wants %,d bytes (%.1f GiB) off the heap, and they are"
                      + " not to be had: %s",
                  size, bytes, bytes / 0x1p30, e.getMessage()));
      error.initCause(e);
      throw error;
    }
  }

  /** Without JavaCPP's natives: the JDK's own direct buffers, limited by MaxDirectMemorySize. */
  static Region allocateDirect(long size) {
    int slices = Math.toIntExact((size + SLICE - 1) >>> SLICE_BITS);
    FloatBuffer[] floats = new FloatBuffer[slices];
    IntBuffer[] ints = new IntBuffer[slices];
    for (int i = 0; i < slices; i++) {
      int bytes = (int) Math.min(SLICE, size - i * SLICE) * Float.BYTES;
      ByteBuffer slice =
          ByteBuffer.allocateDirect(bytes + 2 * ALIGNMENT).alignedSlice(ALIGNMENT).slice(0, bytes);
      floats[i] = slice.order(ByteOrder.nativeOrder()).asFloatBuffer();
      ints[i] = slice.order(ByteOrder.nativeOrder()).asIntBuffer();
    }
    return new Region(size, floats, ints, 0, null);
  }

  /** The memory of a direct buffer, from its position to its limit; it is never freed here. */
  static Region wrap(FloatBuffer buffer) {
    if (!buffer.isDirect() || buffer.order() != ByteOrder.nativeOrder() || buffer.isReadOnly()) {
      throw new IllegalArgumentException(
          "expected a direct, writable buffer of native byte order, got " + describe(buffer));
    }
    FloatBuffer slice = buffer.slice();
    long address = Native.available() ? Native.addressOf(slice) : 0;
    return new Region(slice.capacity(), new FloatBuffer[] {slice}, new IntBuffer[0], address, null);
  }

  private static String describe(FloatBuffer buffer) {
    return (buffer.isDirect() ? "a direct" : "a heap")
        + (buffer.isReadOnly() ? ", read-only" : "")
        + " buffer of order "
        + buffer.order();
  }

  long size() {
    return size;
  }

  /** The address of word {@code at}; only where {@link #hasAddress}. */
  long address(long at) {
    checkOpen();
    return address + at * Float.BYTES;
  }

  boolean hasAddress() {
    return address != 0 || size == 0;
  }

  /**
   * Whether {@code count} words from {@code at} share memory with words of another region; of two
   * buffers wrapped apart that is only known where they have addresses.
   */
  boolean overlaps(long at, long count, Region other, long otherAt, long otherCount) {
    long distance = otherAt - at;
    if (other != this) {
      if (address == 0 || other.address == 0) {
        return false;
      }
      distance += (other.address - address) / Float.BYTES;
    }
    return count > 0 && otherCount > 0 && distance < count && -distance < otherCount;
  }

  void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    if (memory != null) {
      Pointer.free(memory);
    }
  }

  void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the arena is closed");
    }
  }

  float getFloat(long at) {
    checkOpen();
    return floats[slice(at)].get(inSlice(at));
  }

  void setFloat(long at, float v) {
    checkOpen();
    floats[slice(at)].put(inSlice(at), v);
  }

  int getInt(long at) {
    checkOpen();
    return ints[slice(at)].get(inSlice(at));
  }

  void setInt(long at, int v) {
    checkOpen();
    ints[slice(at)].put(inSlice(at), v);
  }

  void read(long from, float[] to, int at, int count) {
    Objects.checkFromIndexSize(at, count, to.length);
    checkOpen();
    for (int done = 0; done < count; ) {
      int part = part(from + done, count - done);
      floats[slice(from + done)].get(inSlice(from + done), to, at + done, part);
      done += part;
    }
  }

  void write(long to, float[] from, int at, int count) {
    Objects.checkFromIndexSize(at, count, from.length);
    checkOpen();
    for (int done = 0; done < count; ) {
      int part = part(to + done, count - done);
      floats[slice(to + done)].put(inSlice(to + done), from, at + done, part);
      done += part;
    }
  }

  void read(long from, int[] to, int at, int count) {
    Objects.checkFromIndexSize(at, count, to.length);
    checkOpen();
    for (int done = 0; done < count; ) {
      int part = part(from + done, count - done);
      ints[slice(from + done)].get(inSlice(from + done), to, at + done, part);
      done += part;
    }
  }

  void write(long to, int[] from, int at, int count) {
    Objects.checkFromIndexSize(at, count, from.length);
    checkOpen();
    for (int done = 0; done < count; ) {
      int part = part(to + done, count - done);
      ints[slice(to + done)].put(inSlice(to + done), from, at + done, part);
      done += part;
    }
  }

  void copy(long to, Region source, long from, long count) {
    checkOpen();
    source.checkOpen();
    for (long done = 0; done < count; ) {
      int part = part(to + done, source.part(from + done, count - done));
      FloatBuffer sourceSlice = source.floats[slice(from + done)];
      floats[slice(to + done)].put(inSlice(to + done), sourceSlice, inSlice(from + done), part);
      done += part;
    }
  }

  void fill(long from, long count, float v) {
    if (Float.floatToRawIntBits(v) == 0) {
      zero(from, count);
      return;
    }
    checkOpen();
    for (long done = 0; done < count; ) {
      int part = part(from + done, count - done);
      FloatBuffer slice = floats[slice(from + done)];
      int start = inSlice(from + done);
      for (int i = start; i < start + part; i++) {
        slice.put(i, v);
      }
      done += part;
    }
  }

  void zero(long from, long count) {
    for (long done = 0; done < count; ) {
      int part = (int) Math.min(ZEROS.length, count - done);
      write(from + done, ZEROS, 0, part);
      done += part;
    }
  }

  boolean isFinite(long from, long count) {
    checkOpen();
    for (long done = 0; done < count; ) {
      int part = Math.min(4096, part(from + done, count - done));
      FloatBuffer slice = floats[slice(from + done)];
      int start = inSlice(from + done);
      int largest = 0;
      for (int i = start; i < start + part; i++) {
        largest = Math.max(largest, Float.floatToRawIntBits(slice.get(i)) & Integer.MAX_VALUE);
      }
      if (largest >= INFINITY_BITS) {
        return false;
      }
      done += part;
    }
    return true;
  }

  private static int slice(long at) {
    return (int) (at >>> SLICE_BITS);
  }

  private static int inSlice(long at) {
    return (int) (at & IN_SLICE);
  }

  /** How many of {@code count} words from {@code at} lie in the slice of {@code at}. */
  private int part(long at, long count) {
    return (int) Math.min(count, SLICE - (at & IN_SLICE));
  }

  /** What needs JavaCPP's natives, apart so that their absence does not break this class. */
  private static final class Native {
    private static final boolean AVAILABLE = load();

    private Native() {}

    static boolean available() {
      return AVAILABLE;
    }

    private static boolean load() {
      try {
        return Pointer.sizeof(FloatPointer.class) == Float.BYTES;
      } catch (LinkageError e) {
        return false;
      }
    }

    static Region allocate(long size) {
      long bytes = size * Float.BYTES;
      // calloc by hand: JavaCPP's own allocators count against org.bytedeco.javacpp.maxbytes
      Pointer memory = Pointer.calloc(1, bytes + ALIGNMENT);
      if (memory == null || memory.isNull()) {
        throw new OutOfMemoryError(
            String.format("calloc failed, %,d bytes are free", Pointer.availablePhysicalBytes()));
      }
      HugePages.advise(memory.address(), bytes);
      long base = (memory.address() + ALIGNMENT - 1) & -ALIGNMENT;
      int slices = Math.toIntExact((size + SLICE - 1) >>> SLICE_BITS);
      FloatBuffer[] floats = new FloatBuffer[slices];
      IntBuffer[] ints = new IntBuffer[slices];
      for (int i = 0; i < slices; i++) {
        long words = Math.min(SLICE, size - i * SLICE);
        ByteBuffer slice =
            new Words(base + i * SLICE * Float.BYTES, words * Float.BYTES)
                .asByteBuffer()
                .order(ByteOrder.nativeOrder());
        floats[i] = slice.asFloatBuffer();
        ints[i] = slice.asIntBuffer();
      }
      return new Region(size, floats, ints, base, memory);
    }

    static long addressOf(FloatBuffer slice) {
      return Words.addressOf(slice);
    }
  }

  /** Bytes at an address, owned by someone else. */
  private static final class Words extends BytePointer {
    Words(long address, long bytes) {
      super((Pointer) null);
      this.address = address;
      this.limit = bytes;
      this.capacity = bytes;
    }

    static long addressOf(Buffer buffer) {
      return getDirectBufferAddress(buffer);
    }
  }
}
