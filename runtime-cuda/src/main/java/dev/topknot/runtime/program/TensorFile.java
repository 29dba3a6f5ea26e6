package dev.topknot.runtime.program;

import dev.topknot.runtime.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;

/** Streams tensors to and from files, a small tile at a time, and replaces files atomically. */
final class TensorFile {
  private static final int TILE = 1 << 16;

  private TensorFile() {}

  /** Writes a whole file beside the old one, then puts it in its place. */
  static void write(Path path, Map<String, String> metadata, Map<String, Tensor> tensors)
      throws IOException {
    Path target = path.toAbsolutePath();
    Path directory = target.getParent();
    if (Files.isDirectory(target)) {
      throw new FileAlreadyExistsException(
          path.toString(), null, "expected a file, not a directory");
    }
    Path temporary = directory.resolve("." + target.getFileName() + "." + UUID.randomUUID());
    try {
      try (FileChannel channel =
          FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> shapes.put(name, tensor.shape()));
        writeFully(channel, ByteBuffer.wrap(Safetensors.header(metadata, shapes)));
        float[] tile = new float[TILE];
        ByteBuffer bytes =
            ByteBuffer.allocateDirect(TILE * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (Tensor tensor : tensors.values()) {
          write(channel, tensor, tile, bytes);
        }
        channel.force(true);
      }
      Files.move(
          temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(temporary);
    }
    force(directory);
  }

  /** Reads one tensor's bytes, which begin at a byte of the file. */
  static void read(FileChannel channel, long from, Tensor tensor) throws IOException {
    read(channel, from, tensor.size(), (first, tile, count) -> tensor.write(first, tile, 0, count));
  }

  /** Takes a tensor's values as they are read. */
  interface Values {
    /**
     * Takes some.
     *
     * @param first row-major index of the first
     * @param tile holds them from its beginning
     * @param count how many
     */
    void take(long first, float[] tile, int count) throws IOException;
  }

  /** Reads so many values, which begin at a byte of the file. */
  static void read(FileChannel channel, long from, long size, Values to) throws IOException {
    float[] tile = new float[(int) Math.min(TILE, size)];
    // on the heap: thousands of experts are thousands of tensors, and direct memory is freed late
    ByteBuffer bytes =
        ByteBuffer.allocate(tile.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (long done = 0; done < size; done += tile.length) {
      int count = (int) Math.min(tile.length, size - done);
      bytes.clear().limit(count * Float.BYTES);
      while (bytes.hasRemaining()) {
        if (channel.read(bytes, from + done * Float.BYTES + bytes.position()) < 0) {
          throw new IOException("the file became shorter while it was read");
        }
      }
      bytes.flip().asFloatBuffer().get(tile, 0, count);
      to.take(done, tile, count);
    }
  }

  private static void write(FileChannel channel, Tensor tensor, float[] tile, ByteBuffer bytes)
      throws IOException {
    for (long done = 0; done < tensor.size(); done += tile.length) {
      int count = (int) Math.min(tile.length, tensor.size() - done);
      tensor.read(done, tile, 0, count);
      bytes.clear();
      bytes.asFloatBuffer().put(tile, 0, count);
      writeFully(channel, bytes.limit(count * Float.BYTES));
    }
  }

  private static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
  }

  /** A renamed file survives a power cut only when its directory was written, too. */
  private static void force(Path directory) throws IOException {
    // only POSIX systems let a directory be opened
    if (directory.getFileSystem().supportedFileAttributeViews().contains("posix")) {
      try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
        channel.force(true);
      }
    }
  }
}
