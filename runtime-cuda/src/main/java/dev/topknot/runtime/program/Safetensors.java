package dev.topknot.runtime.program;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import dev.topknot.runtime.CheckpointException;
import dev.topknot.runtime.Tensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The head of a file in the safetensors format: eight bytes with the length of a JSON object,
 * little endian; the object, which gives each tensor's type, shape and place, and strings under
 * {@code __metadata__}; then the tensors' bytes without holes.
 *
 * @param metadata strings of the writer's
 * @param tensors by name, in the order of their bytes
 * @param dataStart where the bytes begin in the file
 */
public record Safetensors(
    Map<String, String> metadata, Map<String, Stored> tensors, long dataStart) {

  /** The format allows no longer header. */
  private static final int LONGEST_HEADER = 100_000_000;

  private static final int LENGTH_BYTES = 8;
  private static final int ALIGNMENT = 64;
  private static final String METADATA = "__metadata__";

  private static final JsonFactory JSON =
      new JsonFactoryBuilder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(8).build())
          .build();

  /**
   * One tensor in a file.
   *
   * @param name its name
   * @param type of an element, such as {@code F32}
   * @param shape its dimensions
   * @param begin its first byte, from the start of the data
   * @param end the byte after its last
   */
  public record Stored(String name, String type, List<Long> shape, long begin, long end) {}

  /**
   * Reads and checks the head of a file.
   *
   * @throws CheckpointException saying what is wrong
   */
  public static Safetensors read(Path path) throws IOException {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      return read(path, channel);
    }
  }

  /**
   * Reads and checks the head of an open file: lengths, JSON, and that float tensors have the bytes
   * of their shape and all bytes belong to one tensor.
   *
   * @throws CheckpointException saying what is wrong
   */
  static Safetensors read(Path path, FileChannel channel) throws IOException {
    long size = channel.size();
    if (size < LENGTH_BYTES) {
      throw wrong(path, "it has " + size + " bytes, expected at least " + LENGTH_BYTES);
    }
    long length = bytes(channel, 0, LENGTH_BYTES).getLong();
    if (length < 2 || length > LONGEST_HEADER || length > size - LENGTH_BYTES) {
      throw wrong(
          path,
          String.format(
              "its header is said to have %s bytes, expected 2 to %d",
              Long.toUnsignedString(length), Math.min(LONGEST_HEADER, size - LENGTH_BYTES)));
    }
    byte[] header = bytes(channel, LENGTH_BYTES, (int) length).array();
    if (header[0] != '{') {
      throw wrong(path, "its header does not begin with {");
    }
    Map<String, String> metadata = new LinkedHashMap<>();
    List<Stored> tensors = new ArrayList<>();
    try (JsonParser parser = JSON.createParser(header)) {
      parse(path, parser, metadata, tensors);
    } catch (CheckpointException e) {
      throw e;
    } catch (JsonProcessingException e) {
      throw new CheckpointException(
          String.format(
              "%s: its header is not JSON at character %d: %s",
              path, e.getLocation().getColumnNr(), e.getOriginalMessage()),
          e);
    } catch (IOException e) { // bytes in memory: the text is at fault, never the reading
      throw new CheckpointException(path + ": its header is not JSON: " + e.getMessage(), e);
    }
    tensors.sort(Comparator.comparingLong(Stored::begin).thenComparingLong(Stored::end));
    long dataStart = LENGTH_BYTES + length;
    requireWhole(path, tensors, size - dataStart);
    Map<String, Stored> byName = new LinkedHashMap<>();
    tensors.forEach(t -> byName.put(t.name(), t));
    return new Safetensors(metadata, byName, dataStart);
  }

  /**
   * The head of a new file, padded so that the data is aligned: tensors of floats one after the
   * other in the order given.
   */
  static byte[] header(Map<String, String> metadata, Map<String, long[]> shapes)
      throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (JsonGenerator json = JSON.createGenerator(out)) {
      json.writeStartObject();
      json.writeObjectFieldStart(METADATA);
      for (Map.Entry<String, String> entry : metadata.entrySet()) {
        json.writeStringField(entry.getKey(), entry.getValue());
      }
      json.writeEndObject();
      long begin = 0;
      for (Map.Entry<String, long[]> entry : shapes.entrySet()) {
        json.writeObjectFieldStart(entry.getKey());
        json.writeStringField("dtype", "F32");
        json.writeFieldName("shape");
        json.writeArray(entry.getValue(), 0, entry.getValue().length);
        long end = begin + Tensor.size(entry.getValue()) * Float.BYTES;
        json.writeFieldName("data_offsets");
        json.writeArray(new long[] {begin, end}, 0, 2);
        json.writeEndObject();
        begin = end;
      }
      json.writeEndObject();
    }
    while ((LENGTH_BYTES + out.size()) % ALIGNMENT != 0) {
      out.write(' ');
    }
    if (out.size() > LONGEST_HEADER) {
      throw new IOException(
          "the header would have " + out.size() + " bytes; the format allows " + LONGEST_HEADER);
    }
    return ByteBuffer.allocate(LENGTH_BYTES + out.size())
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(out.size())
        .put(out.toByteArray())
        .array();
  }

  private static void parse(
      Path path, JsonParser parser, Map<String, String> metadata, List<Stored> tensors)
      throws IOException {
    parser.nextToken();
    for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw wrong(path, name + " is not an object in its header");
      }
      if (name.equals(METADATA)) {
        for (String key = parser.nextFieldName(); key != null; key = parser.nextFieldName()) {
          if (parser.nextToken() != JsonToken.VALUE_STRING) {
            throw wrong(path, "its metadata " + key + " is not a string");
          }
          metadata.put(key, parser.getText());
        }
      } else {
        tensors.add(tensor(path, parser, name));
      }
    }
    if (parser.nextToken() != null) {
      throw wrong(path, "its header goes on after the object");
    }
  }

  private static Stored tensor(Path path, JsonParser parser, String name) throws IOException {
    String type = null;
    List<Long> shape = null;
    List<Long> offsets = null;
    for (String key = parser.nextFieldName(); key != null; key = parser.nextFieldName()) {
      switch (key) {
        case "dtype" -> {
          type = parser.nextTextValue();
          if (type == null) {
            throw wrong(path, name + "'s dtype is not a string");
          }
        }
        case "shape" -> shape = sizes(path, parser, name + "'s shape");
        case "data_offsets" -> offsets = sizes(path, parser, name + "'s data_offsets");
        default -> throw wrong(path, name + " has an unknown property " + key);
      }
    }
    if (type == null || shape == null || offsets == null) {
      throw wrong(path, name + " lacks one of dtype, shape and data_offsets");
    }
    if (offsets.size() != 2 || offsets.get(0) > offsets.get(1)) {
      throw wrong(path, name + "'s data_offsets are " + offsets + ", not a begin and an end");
    }
    return new Stored(name, type, List.copyOf(shape), offsets.get(0), offsets.get(1));
  }

  private static List<Long> sizes(Path path, JsonParser parser, String what) throws IOException {
    if (parser.nextToken() != JsonToken.START_ARRAY) {
      throw wrong(path, what + " is not an array");
    }
    List<Long> sizes = new ArrayList<>();
    while (parser.nextToken() != JsonToken.END_ARRAY) {
      if (parser.currentToken() != JsonToken.VALUE_NUMBER_INT
          || parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER
          || parser.getLongValue() < 0) {
        throw wrong(path, what + " holds " + parser.getText() + ", not a size");
      }
      sizes.add(parser.getLongValue());
    }
    return sizes;
  }

  private static void requireWhole(Path path, List<Stored> tensors, long dataSize)
      throws CheckpointException {
    long end = 0;
    for (Stored tensor : tensors) {
      if (tensor.begin() != end) {
        throw wrong(
            path,
            String.format(
                "%s begins at byte %d of the data, but the tensor before it ends at %d",
                tensor.name(), tensor.begin(), end));
      }
      end = tensor.end();
      if (end > dataSize) {
        throw wrong(
            path,
            String.format(
                "%s ends at byte %d of the data, but there are only %d: the file is cut short",
                tensor.name(), end, dataSize));
      }
      if (tensor.type().equals("F32") && end - tensor.begin() != floatBytes(path, tensor)) {
        throw wrong(
            path,
            String.format(
                "%s of shape %s should have %d bytes, but has %d",
                tensor.name(), tensor.shape(), floatBytes(path, tensor), end - tensor.begin()));
      }
    }
    if (end != dataSize) {
      throw wrong(
          path, String.format("its tensors end at byte %d of %d of the data", end, dataSize));
    }
  }

  private static long floatBytes(Path path, Stored tensor) throws CheckpointException {
    try {
      long size = Float.BYTES;
      for (long dimension : tensor.shape()) {
        size = Math.multiplyExact(size, dimension);
      }
      return size;
    } catch (ArithmeticException e) {
      throw new CheckpointException(
          path + ": " + tensor.name() + " has an impossible shape " + tensor.shape(), e);
    }
  }

  private static ByteBuffer bytes(FileChannel channel, long from, int count) throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(count).order(ByteOrder.LITTLE_ENDIAN);
    while (buffer.hasRemaining()) {
      if (channel.read(buffer, from + buffer.position()) < 0) {
        throw new IOException("the file became shorter while it was read");
      }
    }
    return buffer.flip();
  }

  private static CheckpointException wrong(Path path, String what) {
    return new CheckpointException(path + " is not a sound safetensors file: " + what);
  }
}
