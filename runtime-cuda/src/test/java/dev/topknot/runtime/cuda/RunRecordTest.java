package dev.topknot.runtime.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.runtime.Update;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The host's record against the text of the struct that kernels are compiled with. */
class RunRecordTest {
  private final ByteBuffer bytes = ByteBuffer.allocate(128).order(ByteOrder.nativeOrder());
  private final RunRecord record = new RunRecord(bytes);
  private final Map<String, Integer> run = offsets("Run");

  /** Reads a struct of run.cuh: names to byte offsets, by natural alignment. */
  private static Map<String, Integer> offsets(String struct) {
    String text;
    try (InputStream in = RunRecordTest.class.getResourceAsStream("/topknot/run.cuh")) {
      text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
    Matcher body =
        Pattern.compile("struct " + struct + " \\{(.*?)\\n\\};", Pattern.DOTALL).matcher(text);
    assertThat(body.find()).isTrue();
    Map<String, Integer> offsets = new LinkedHashMap<>();
    int at = 0;
    Matcher line =
        Pattern.compile("(?m)^  (unsigned long long|double|float|int) ([\\w, ]+)(?:\\[(\\d+)\\])?;")
            .matcher(body.group(1));
    while (line.find()) {
      int size = line.group(1).matches("float|int") ? 4 : 8;
      at = (at + size - 1) / size * size;
      for (String name : line.group(2).split(", ", -1)) {
        offsets.put(name, at);
        at += size * (line.group(3) == null ? 1 : Integer.parseInt(line.group(3)));
      }
    }
    offsets.put("end", at);
    return offsets;
  }

  private int integer(String field) {
    return bytes.getInt(run.get(field));
  }

  private float real(String field) {
    return bytes.getFloat(run.get(field));
  }

  @Test
  void theSizesAgree() {
    assertThat(run.get("end")).isEqualTo(RunRecord.BYTES);
    assertThat(offsets("LayerOptions").get("end")).isEqualTo(LayerOptions.BYTES);
    assertThat(offsets("LayerOptions"))
        .containsEntry("importanceLoss", 0)
        .containsEntry("loadLoss", 4)
        .containsEntry("noiseFloor", 8)
        .containsEntry("dropout", 12)
        .containsEntry("noise", 16);
  }

  @Test
  void aTrainingForward() {
    bytes.putInt(run.get("status"), 1);
    bytes.putDouble(run.get("loss"), 5);
    record.train(17, 23, 0x0123456789abcdefL, 640);
    assertThat(bytes.getLong(run.get("seed"))).isEqualTo(0x0123456789abcdefL);
    assertThat(integer("step")).isEqualTo(23);
    assertThat(integer("valid")).isEqualTo(17);
    assertThat(integer("firstToken")).isEqualTo(640);
    assertThat(integer("training")).isEqualTo(1);
    assertThat(integer("status")).isZero();
    assertThat(record.loss()).isZero();
    record.infer(3);
    assertThat(integer("valid")).isEqualTo(3);
    assertThat(integer("training")).isZero();
    record.add(true);
    assertThat(integer("add")).isEqualTo(1);
    record.add(false);
    assertThat(integer("add")).isZero();
  }

  @Test
  void theOptimizer() {
    record.update(new Update(0.004, 0.9, 0.99, 1e-8, 5), 2, true);
    assertThat(integer("step")).isEqualTo(2);
    assertThat(real("keepFirst")).isEqualTo(0.9f);
    assertThat(real("addFirst")).isEqualTo((float) (1 - 0.9));
    assertThat(real("keepSecond")).isEqualTo(0.99f);
    assertThat(real("addSecond")).isEqualTo((float) (1 - 0.99));
    assertThat((double) real("rate")).isCloseTo(0.004 / (1 - 0.729), within(1e-8));
    assertThat((double) real("rootScale"))
        .isCloseTo(1 / Math.sqrt(1 - 0.99 * 0.99 * 0.99), within(1e-6));
    assertThat(real("epsilon")).isEqualTo(1e-8f);
    assertThat(real("gradientScale")).isEqualTo(1);
    assertThat(bytes.getDouble(run.get("clip"))).isEqualTo(5);
    assertThat(integer("frozen")).isEqualTo(1);
    record.begin(true);
    assertThat(integer("guard")).isEqualTo(1);
    record.begin(false);
    assertThat(integer("guard")).isZero();
  }

  private static org.assertj.core.data.Offset<Double> within(double offset) {
    return org.assertj.core.data.Offset.offset(offset);
  }

  @Test
  void whatTheDeviceWrites() {
    bytes.putInt(run.get("status"), 2);
    bytes.putDouble(run.get("loss"), 1.5);
    bytes.putDouble(run.get("norm"), 2.5);
    assertThat(record.status()).isEqualTo(2);
    assertThat(record.loss()).isEqualTo(1.5);
    assertThat(record.norm()).isEqualTo(2.5);
  }
}
