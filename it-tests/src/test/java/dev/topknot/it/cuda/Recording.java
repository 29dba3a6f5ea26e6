package dev.topknot.it.cuda;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writes what a program asks of a device, in order, for {@code src/test/cuda/replay.cpp}, which
 * does it again elsewhere: device addresses are kept as allocation and offset. The file is the
 * bytes {@code TOPKNOT1} and records, little-endian, each an int kind and its fields:
 *
 * <pre>
 * 1 allocate  long id, long bytes
 * 2 write     long id, long offset, long bytes, the bytes
 * 3 launch    int length, the kernel's name, int grid[3], int block[3], long shared bytes,
 *             int count, for each parameter: int 0, long 0, long constant
 *                                        or: int 1, long id, long offset
 * 4 read      long id, long offset, long bytes: appended to the replay's output
 * 5 copy      long id, long offset (to), long id, long offset (from), long bytes
 * 6 fill      long id, long offset, long bytes, int value of each byte
 * </pre>
 */
public final class Recording implements AutoCloseable {

  private static final int ALLOCATE = 1;
  private static final int WRITE = 2;
  private static final int LAUNCH = 3;
  private static final int READ = 4;
  private static final int COPY = 5;
  private static final int FILL = 6;

  private final WritableByteChannel file;
  private final TreeMap<Long, Allocation> allocations = new TreeMap<>();
  private long allocated;

  private record Allocation(long id, long bytes) {}

  private record Place(long id, long offset) {}

  /** Starts a new file. */
  public Recording(Path path) throws IOException {
    file =
        Files.newByteChannel(
            path,
            StandardOpenOption.CREATE,
            StandardOpenOption.TRUNCATE_EXISTING,
            StandardOpenOption.WRITE);
    put(StandardCharsets.US_ASCII.encode("TOPKNOT1"));
  }

  /** Memory of so many bytes was allocated at an address. */
  public void allocate(long address, long bytes) throws IOException {
    allocations.put(address, new Allocation(++allocated, bytes));
    put(fields(20).putInt(ALLOCATE).putLong(allocated).putLong(bytes).flip());
  }

  /** Memory was freed; the replay keeps it to its end. */
  public void free(long address) {
    allocations.remove(address);
  }

  /** Bytes from the host were written to an address; the buffer's position stays. */
  public void write(long address, ByteBuffer bytes) throws IOException {
    ByteBuffer source = bytes.duplicate();
    put(place(fields(28).putInt(WRITE), address).putLong(source.remaining()).flip());
    put(source);
  }

  /** A kernel was launched; parameters within an allocation are taken for addresses. */
  public void launch(String kernel, int[] grid, int[] block, long sharedBytes, long... parameters)
      throws IOException {
    byte[] name = kernel.getBytes(StandardCharsets.UTF_8);
    put(fields(8).putInt(LAUNCH).putInt(name.length).flip());
    put(ByteBuffer.wrap(name));
    ByteBuffer rest = fields(36 + 20 * parameters.length);
    for (int size : grid) {
      rest.putInt(size);
    }
    for (int size : block) {
      rest.putInt(size);
    }
    rest.putLong(sharedBytes).putInt(parameters.length);
    for (long parameter : parameters) {
      Place place = find(parameter);
      if (place == null) {
        rest.putInt(0).putLong(0).putLong(parameter);
      } else {
        rest.putInt(1).putLong(place.id).putLong(place.offset);
      }
    }
    put(rest.flip());
  }

  /** Bytes were read back from an address: the replay appends its own to its output. */
  public void read(long address, long bytes) throws IOException {
    put(place(fields(28).putInt(READ), address).putLong(bytes).flip());
  }

  /** Bytes were copied from one address to another. */
  public void copy(long to, long from, long bytes) throws IOException {
    put(place(place(fields(44).putInt(COPY), to), from).putLong(bytes).flip());
  }

  /** Bytes were all set to a value. */
  public void fill(long address, long bytes, int value) throws IOException {
    put(place(fields(32).putInt(FILL), address).putLong(bytes).putInt(value).flip());
  }

  private static ByteBuffer fields(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private ByteBuffer place(ByteBuffer fields, long address) {
    Place place = find(address);
    if (place == null) {
      throw new IllegalArgumentException(
          "address 0x%x is in none of the %d recorded allocations"
              .formatted(address, allocations.size()));
    }
    return fields.putLong(place.id).putLong(place.offset);
  }

  private Place find(long address) {
    Map.Entry<Long, Allocation> before = allocations.floorEntry(address);
    if (before == null) {
      return null;
    }
    long offset = address - before.getKey();
    return offset < before.getValue().bytes ? new Place(before.getValue().id, offset) : null;
  }

  private void put(ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      file.write(bytes);
    }
  }

  @Override
  public void close() throws IOException {
    file.close();
  }
}
