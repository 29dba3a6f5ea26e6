package dev.topknot.runtime.program;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.topknot.dsl.Optimizer;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Checkpoint;
import dev.topknot.runtime.CheckpointException;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.fixture.TinyModel;
import dev.topknot.runtime.fixture.TinyModelCpu;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointTest {
  private static final Batch BATCH =
      Batch.full(new int[] {0, 1, 2, 3, 4, 0}, new int[] {2, 3, 4, 0, 1, 2});
  private static final Update UPDATE = Update.of(0.05);
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path directory;
  private Path file;
  private TinyModel model;

  @BeforeEach
  void open() {
    file = directory.resolve("model.safetensors");
    model = TinyModel.on(Device.cpu(1), 7);
    model.train(BATCH, UPDATE);
    model.train(BATCH, UPDATE);
  }

  @AfterEach
  void close() {
    model.close();
  }

  @Test
  void resumesToTheSameBits() throws IOException {
    model.save(file);
    model.train(BATCH, UPDATE);
    model.train(BATCH, UPDATE);
    try (TinyModel resumed = TinyModel.on(Device.cpu(1), 7)) {
      resumed.load(file);
      assertThat(resumed.step()).isEqualTo(2);
      resumed.train(BATCH, UPDATE);
      resumed.train(BATCH, UPDATE);
      assertThat(values(resumed)).isEqualTo(values(model));
    }
    model.load(file);
    assertThat(model.step()).isEqualTo(2);
  }

  @Test
  void isAFileThatOthersRead() throws IOException {
    model.save(file, Map.of("position", "17"));
    byte[] bytes = Files.readAllBytes(file);
    int length = (int) ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong();
    assertThat((8 + length) % 64).as("aligned data").isZero();
    JsonNode header = JSON.readTree(Arrays.copyOfRange(bytes, 8, 8 + length));
    assertThat(header.get("__metadata__").get("position").asText()).isEqualTo("17");
    JsonNode weight = header.get("experts.experts.1.w1");
    assertThat(weight.get("dtype").asText()).isEqualTo("F32");
    assertThat(weight.get("shape").toString()).isEqualTo("[4,4]");
    assertThat(header.get("next.bias").get("shape").toString()).isEqualTo("[5]");
    assertThat(header.get("optimizer.m.next.bias").get("shape").toString()).isEqualTo("[5]");
    assertThat(header.get("optimizer.v.words.weight").get("shape").toString()).isEqualTo("[5,4]");
    int begin = weight.get("data_offsets").get(0).asInt();
    ByteBuffer data = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    Tensor value = model.experts().parameters().get(1).value();
    for (int i = 0; i < 16; i++) {
      assertThat(data.getFloat(8 + length + begin + 4 * i)).isEqualTo(value.get(i / 4, i % 4));
    }
  }

  @Test
  void saysWhatItIs() throws IOException {
    model.save(file, Map.of("position", "shard 3, \"line\" 17\n", "leer", ""));
    Checkpoint checkpoint = Checkpoint.read(file);
    assertThat(checkpoint.spec()).isEqualTo("TinyModel");
    assertThat(checkpoint.layout()).isEqualTo(TinyModel.LAYOUT.hash());
    assertThat(checkpoint.step()).isEqualTo(2);
    assertThat(checkpoint.seed()).isEqualTo(7);
    assertThat(checkpoint.extra())
        .isEqualTo(Map.of("position", "shard 3, \"line\" 17\n", "leer", ""));
    assertThat(checkpoint.shapes())
        .containsEntry("next.weight", List.of(5L, 4L))
        .hasSize(5 * 3 + 1);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> model.save(file, Map.of("topknot.step", "3")))
        .withMessageContaining("topknot.step");
  }

  @Test
  void loadsParametersOnly() throws IOException {
    Files.write(file, parametersOnly());
    float[] saved = values(model);
    try (TinyModel bare = TinyModel.on(Device.cpu(1), 1);
        TinyModel fresh = TinyModel.on(Device.cpu(1), 1)) {
      bare.train(BATCH, UPDATE);
      bare.load(file);
      assertThat(bare.step()).isZero();
      assertThat(values(bare)).isEqualTo(saved);
      // moments and state are zero: it goes on as a fresh model with these parameters does
      copyParameters(model, fresh);
      bare.train(BATCH, UPDATE);
      fresh.train(BATCH, UPDATE);
      assertThat(values(bare)).isEqualTo(values(fresh));
    }
  }

  @Test
  void withoutMomentsTheStepCountsForNothing() throws IOException {
    ObjectNode metadata = JSON.createObjectNode().put(Checkpoint.STEP, "500");
    Files.write(file, parametersOnly(metadata));
    assertThat(Checkpoint.read(file).step()).isEqualTo(500);
    model.load(file);
    assertThat(model.step()).isZero();
  }

  private byte[] parametersOnly() throws IOException {
    return parametersOnly(null);
  }

  /**
   * As another program would write it: other metadata or none, parameters in the order of their
   * names.
   */
  private byte[] parametersOnly(ObjectNode metadata) throws IOException {
    Map<String, Parameter> sorted = new TreeMap<>();
    model.parameters().forEach(p -> sorted.put(p.name(), p));
    ObjectNode header = JSON.createObjectNode();
    if (metadata != null) {
      header.set("__metadata__", metadata);
    }
    ByteBuffer data = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN);
    for (Parameter parameter : sorted.values()) {
      ObjectNode about = header.putObject(parameter.name());
      about.put("dtype", "F32");
      about.set("shape", JSON.valueToTree(parameter.shape()));
      int begin = data.position();
      float[] values = new float[(int) parameter.value().size()];
      parameter.value().copyTo(values);
      for (float v : values) {
        data.putFloat(v);
      }
      about.set("data_offsets", array(begin, data.position()));
    }
    return with(JSON.writeValueAsBytes(header), Arrays.copyOf(data.array(), data.position()));
  }

  @Test
  void stateOfAnotherBatchSizeIsZero() throws IOException {
    model.save(file);
    try (TinyModel wider = wider();
        TinyModel reset = TinyModel.on(Device.cpu(1), 7)) {
      wider.train(BATCH, UPDATE);
      wider.load(file);
      assertThat(wider.step()).isEqualTo(2);
      reset.load(file);
      reset.resetState();
      wider.train(BATCH, UPDATE);
      reset.train(BATCH, UPDATE);
      assertThat(values(wider)).isEqualTo(values(reset));
      model.train(BATCH, UPDATE);
      assertThat(values(wider)).isNotEqualTo(values(model));
    }
  }

  private static TinyModel wider() {
    return TinyModel.on(Device.cpu(1), 7, 2, Optimizer.ADAM, TinyModelCpu::new);
  }

  @Test
  void replacesAtomically() throws IOException {
    model.save(file);
    byte[] first = Files.readAllBytes(file);
    model.train(BATCH, UPDATE);
    model.save(file);
    assertThat(Files.readAllBytes(file)).isNotEqualTo(first);
    assertThat(names()).containsExactly("model.safetensors");
    Path taken = Files.createDirectory(directory.resolve("taken"));
    Files.createFile(taken.resolve("full"));
    assertThatExceptionOfType(FileAlreadyExistsException.class).isThrownBy(() -> model.save(taken));
    assertThatExceptionOfType(NoSuchFileException.class)
        .isThrownBy(() -> model.save(directory.resolve("missing").resolve("x")));
    assertThat(names()).containsExactly("model.safetensors", "taken");
  }

  private List<String> names() throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      return files.map(p -> p.getFileName().toString()).sorted().toList();
    }
  }

  @Test
  void isNotSavedHalfWayThroughAStep() {
    model.accumulate(BATCH);
    assertThatIllegalStateException()
        .isThrownBy(() -> model.save(file))
        .withMessageContaining("between accumulate and update");
  }

  @Test
  void theFirstDifferenceIsNamed() throws IOException {
    refuses(edit(h -> h.remove("next.weight")), "next.bias begins at byte 288 of the data");
    model.save(file);
    rename("experts.experts.1.w1", "experts.experts.2.w1");
    refusesFile("does not fit TinyModel: it lacks experts.experts.1.w1 of shape [4, 4]");
    model.save(file);
    rename("carried.state", "carried.other");
    refusesFile("it has carried.other of shape [64], expected no such tensor");
    model.save(file);
    rename("optimizer.v.next.bias", "optimizer.v.next.bios");
    refusesFile("it lacks optimizer.v.next.bias of shape [5]");
    refuses(
        edit(h -> ((ObjectNode) h.get("words.weight")).set("shape", array(4, 5))),
        "words.weight has shape [4, 5], expected [5, 4]");
    refuses(
        edit(h -> ((ObjectNode) h.get("words.weight")).put("dtype", "I32")),
        "words.weight is I32, expected F32");
    refuses(
        edit(h -> ((ObjectNode) h.get("__metadata__")).put("topknot.format", "2")),
        "is of format 2, this runtime reads 1");
    refuses(
        edit(h -> ((ObjectNode) h.get("__metadata__")).put("topknot.step", "two")),
        "topknot.step is not a number: two");
    refuses(
        edit(h -> ((ObjectNode) h.get("__metadata__")).put("topknot.step", "-2")),
        "topknot.step is -2, expected 0 or more");
    refuses(
        edit(h -> ((ObjectNode) h.get("__metadata__")).put("topknot.layout", "00")),
        "its layout is 00, expected " + TinyModel.LAYOUT.hash());
  }

  @Test
  void anotherOrderOfLayersIsNamed() throws IOException {
    model.save(file);
    refuses(
        edit(
            h -> {
              ((ObjectNode) h.get("__metadata__")).put("topknot.layout", "00");
              JsonNode first = h.get("experts.experts.0.w1");
              h.set("experts.experts.0.w1", h.get("experts.experts.1.w1"));
              h.set("experts.experts.1.w1", first);
            }),
        "parameter 1 is experts.experts.1.w1, expected experts.experts.0.w1");
  }

  @Test
  void damageIsNamed() throws IOException {
    model.save(file);
    byte[] good = Files.readAllBytes(file);
    int length = (int) ByteBuffer.wrap(good).order(ByteOrder.LITTLE_ENDIAN).getLong();
    refuses(Arrays.copyOf(good, 5), "it has 5 bytes, expected at least 8");
    refuses(Arrays.copyOf(good, 100), "its header is said to have " + length + " bytes");
    refuses(Arrays.copyOf(good, good.length - 1), "the file is cut short");
    refuses(Arrays.copyOf(good, good.length + 4), "its tensors end at byte");
    refuses(withLength(good, -1), "18446744073709551615 bytes");
    refuses(withLength(good, 1), "its header is said to have 1 bytes, expected 2 to");
    refuses(withLength(good, length - 64), "its header is not JSON at character ");
    refuses(headerOnly(" {}"), "its header does not begin with {");
    refuses(headerOnly("{}"), "it lacks words.weight of shape [5, 4]");
    refuses(headerOnly("{} 1"), "its header goes on after the object");
    refuses(headerOnly("{\"a\":1}"), "a is not an object");
    refuses(headerOnly("{\"a\":{\"dtype\":\"F32\"}}"), "a lacks one of dtype, shape and");
    refuses(headerOnly("{\"a\":{\"type\":\"F32\"}}"), "a has an unknown property type");
    refuses(headerOnly("{\"__metadata__\":{\"a\":1}}"), "its metadata a is not a string");
    refuses(headerOnly("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}"), "Duplicate field 'a'");
    refuses(headerOnly(tensor("[-1]", "[0,0]")), "a's shape holds -1, not a size");
    refuses(headerOnly(tensor("[1.5]", "[0,0]")), "a's shape holds 1.5, not a size");
    refuses(headerOnly(tensor("7", "[0,0]")), "a's shape is not an array");
    refuses(headerOnly(tensor("[1]", "[4,0]")), "a's data_offsets are [4, 0]");
    refuses(headerOnly(tensor("[1]", "[0,99999999999999999999]")), "not a size");
    refuses(headerOnly(tensor("[1]", "[0,0]")), "a of shape [1] should have 4 bytes, but has 0");
    refuses(headerOnly(tensor("[4611686018427387904,4]", "[0,0]")), "a has an impossible shape");
    refuses(headerOnly("{\"a\":[[[[[[[[[[[[1]]]]]]]]]]]]}"), "a is not an object");
    refuses(headerOnly("{\"a\":{\"dtype\":{\"b\":{}}}}"), "a's dtype is not a string");
  }

  private static String tensor(String shape, String offsets) {
    return "{\"a\":{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  }

  @Test
  void overlapsAndHolesAreNamed() throws IOException {
    model.save(file);
    refuses(
        edit(h -> ((ObjectNode) h.get("next.bias")).set("data_offsets", array(0, 20))),
        "words.weight begins at byte 0 of the data, but the tensor before it ends at 20");
  }

  /** Moments and state that no training leaves; the model goes on as if nothing had been tried. */
  @Test
  void valuesThatSpoilTrainingAreNamed() throws IOException {
    for (float value : List.of(-1e-9f, Float.POSITIVE_INFINITY, Float.NaN)) {
      refuses(
          holding("optimizer.v.experts.experts.1.w1", 5, value),
          "optimizer.v.experts.experts.1.w1 is "
              + value
              + " at element 5, expected a finite number of 0 or more");
    }
    for (float value : List.of(Float.NEGATIVE_INFINITY, Float.NaN)) {
      refuses(
          holding("optimizer.m.next.bias", 4, value),
          "optimizer.m.next.bias is " + value + " at element 4, expected a finite number");
      refuses(
          holding("carried.state", 63, value),
          "carried.state is " + value + " at element 63, expected a finite number");
    }
    try (TinyModel untouched = TinyModel.on(Device.cpu(1), 7)) {
      untouched.train(BATCH, UPDATE);
      untouched.train(BATCH, UPDATE);
      untouched.train(BATCH, UPDATE);
      model.train(BATCH, UPDATE);
      assertThat(values(model)).isEqualTo(values(untouched));
    }
  }

  /** Factored moments have shapes of their own; nobody takes those of another optimizer for his. */
  @Test
  void momentsAreOfOneOptimizer() throws IOException {
    try (TinyModel factored = with(Optimizer.ADAM_FACTORED);
        TinyModel bare = with(Optimizer.NONE)) {
      copyParameters(model, factored);
      factored.save(file);
      assertThat(Checkpoint.read(file).shapes())
          .containsEntry("optimizer.rows.words.weight", List.of(5L))
          .containsEntry("optimizer.columns.words.weight", List.of(4L))
          .containsEntry("optimizer.rows.experts.experts.1.w1", List.of(4L))
          .containsEntry("optimizer.rows.next.bias", List.of(1L))
          .containsEntry("optimizer.columns.next.bias", List.of(5L))
          .hasSize(5 * 3 + 1);
      refusesFile(
          "does not fit TinyModel: its moments are those of another optimizer, ADAM_FACTORED");
      bare.load(file);
      assertThat(values(bare)).isEqualTo(values(model));

      model.train(BATCH, UPDATE);
      model.save(file);
      float[] before = values(factored);
      assertThatExceptionOfType(CheckpointException.class)
          .isThrownBy(() -> factored.load(file))
          .withMessageContaining("its moments are those of another optimizer, ADAM");
      assertThat(values(factored)).isEqualTo(before);
      Files.write(file, parametersOnly());
      factored.load(file);
      assertThat(factored.step()).isZero();
    }
  }

  private static TinyModel with(Optimizer optimizer) {
    return TinyModel.on(Device.cpu(1), 3, 3, optimizer, TinyModelCpu::new);
  }

  /** State of another batch size and moments that nobody wants are not loaded, so they may be. */
  @Test
  void whatIsNotLoadedMayHoldAnything() throws IOException {
    Files.write(file, holding("carried.state", 1, Float.NaN));
    try (TinyModel wider = wider()) {
      wider.load(file);
      assertThat(values(wider)).isEqualTo(values(model));
    }
    Files.write(file, holding("optimizer.v.next.bias", 1, -1));
    try (TinyModel bare = with(Optimizer.NONE)) {
      bare.load(file);
      assertThat(values(bare)).isEqualTo(values(model));
    }
  }

  /** The bytes of a good file with one value replaced. */
  private byte[] holding(String tensor, int element, float value) throws IOException {
    model.save(file);
    byte[] bytes = Files.readAllBytes(file);
    Safetensors head = Safetensors.read(file);
    ByteBuffer.wrap(bytes)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putFloat(
            (int) (head.dataStart() + head.tensors().get(tensor).begin()) + 4 * element, value);
    return bytes;
  }

  /** Writes a damaged file and checks that it is refused with a message, the model untouched. */
  private void refuses(byte[] bytes, String message) throws IOException {
    Files.write(file, bytes);
    refusesFile(message);
  }

  private void refusesFile(String message) {
    float[] before = values(model);
    assertThatExceptionOfType(CheckpointException.class)
        .isThrownBy(() -> model.load(file))
        .withMessageContaining(file.toString())
        .withMessageContaining(message);
    assertThat(values(model)).isEqualTo(before);
    assertThat(model.step()).isEqualTo(2);
  }

  /** The bytes of a good file with an edited header. */
  private byte[] edit(Consumer<ObjectNode> edit) throws IOException {
    model.save(file);
    byte[] bytes = Files.readAllBytes(file);
    int length = (int) ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong();
    ObjectNode header = (ObjectNode) JSON.readTree(Arrays.copyOfRange(bytes, 8, 8 + length));
    edit.accept(header);
    return with(
        JSON.writeValueAsBytes(header), Arrays.copyOfRange(bytes, 8 + length, bytes.length));
  }

  private void rename(String from, String to) throws IOException {
    Files.write(file, edit(h -> h.set(to, h.remove(from))));
  }

  private static ArrayNode array(long a, long b) {
    return JSON.createArrayNode().add(a).add(b);
  }

  private static byte[] withLength(byte[] good, long length) {
    byte[] bytes = good.clone();
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(0, length);
    return bytes;
  }

  private static byte[] headerOnly(String header) {
    return with(header.getBytes(UTF_8), new byte[0]);
  }

  private static byte[] with(byte[] header, byte[] data) {
    return ByteBuffer.allocate(8 + header.length + data.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(header.length)
        .put(header)
        .put(data)
        .array();
  }

  private static void copyParameters(TinyModel from, TinyModel to) {
    for (int i = 0; i < from.parameters().size(); i++) {
      Tensor source = from.parameters().get(i).value();
      float[] values = new float[(int) source.size()];
      source.copyTo(values);
      to.parameters().get(i).value().copyFrom(values);
    }
  }

  private static float[] values(TinyModel of) {
    List<Float> all = new ArrayList<>();
    for (Parameter parameter : of.parameters()) {
      float[] values = new float[(int) parameter.value().size()];
      parameter.value().copyTo(values);
      for (float v : values) {
        all.add(v);
      }
    }
    float[] values = new float[all.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = all.get(i);
    }
    return values;
  }
}
