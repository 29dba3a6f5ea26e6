package dev.topknot.benchmark;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;

/** Named tensors in a file, for the comparison of two processes. */
final class Results {
  private static final String END = "";

  private Results() {}

  /** Writes tensors one after the other. */
  static final class Writer implements AutoCloseable {
    private final DataOutputStream out;

    Writer(Path file) throws IOException {
      out = new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(file)));
    }

    /** Adds a tensor. */
    void write(String name, float... values) throws IOException {
      out.writeUTF(name);
      out.writeInt(values.length);
      ByteBuffer bytes = ByteBuffer.allocate(values.length * Float.BYTES);
      bytes.asFloatBuffer().put(values);
      out.write(bytes.array());
    }

    @Override
    public void close() throws IOException {
      out.writeUTF(END);
      out.close();
    }
  }

  /**
   * The tensor in which two files differ most.
   *
   * @param tensor its name
   * @param difference ‖a - b‖ / ‖b‖ of it, infinite for NaN
   * @param tensors how many were compared
   */
  record Difference(String tensor, double difference, int tensors) {}

  /**
   * Compares two files.
   *
   * @throws IOException if they cannot be read, or hold other tensors
   */
  static Difference compare(Path a, Path b) throws IOException {
    try (DataInputStream left = open(a);
        DataInputStream right = open(b)) {
      Difference worst = new Difference("none", 0, 0);
      for (int tensors = 1; ; tensors++) {
        String name = left.readUTF();
        String other = right.readUTF();
        if (!name.equals(other)) {
          throw new IOException(
              "expected both sides to write " + name + ", but one wrote " + other);
        }
        if (name.equals(END)) {
          return worst;
        }
        double difference = difference(name, floats(left), floats(right));
        boolean worse = difference > worst.difference();
        worst =
            worse
                ? new Difference(name, difference, tensors)
                : new Difference(worst.tensor(), worst.difference(), tensors);
      }
    }
  }

  private static DataInputStream open(Path file) throws IOException {
    return new DataInputStream(new BufferedInputStream(Files.newInputStream(file)));
  }

  private static float[] floats(DataInputStream in) throws IOException {
    float[] values = new float[in.readInt()];
    byte[] bytes = in.readNBytes(values.length * Float.BYTES);
    ByteBuffer.wrap(bytes).asFloatBuffer().get(values);
    return values;
  }

  private static double difference(String name, float[] a, float[] b) throws IOException {
    if (a.length != b.length) {
      throw new IOException(
          "expected two " + name + " of one size, got " + a.length + " and " + b.length);
    }
    double square = 0;
    double norm = 0;
    for (int i = 0; i < a.length; i++) {
      double d = (double) a[i] - b[i];
      square += d * d;
      norm += (double) b[i] * b[i];
    }
    double relative = square == 0 ? 0 : Math.sqrt(square / norm);
    return Double.isNaN(relative) ? Double.POSITIVE_INFINITY : relative;
  }
}
