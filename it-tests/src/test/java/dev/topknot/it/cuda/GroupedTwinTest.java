package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.TwinTest.TOKENS;
import static dev.topknot.it.cuda.TwinTest.UPDATE;
import static dev.topknot.it.cuda.TwinTest.batch;
import static dev.topknot.it.cuda.TwinTest.floats;
import static dev.topknot.it.cuda.TwinTest.relative;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.cuda.EmulatorBuild.Variant;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Matrix;
import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.cuda.CudaDevice;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A model with two levels of gates on the emulated device, against the CPU device. */
class GroupedTwinTest {
  private static final long SEED = 5;

  @TempDir private Path folder;

  private EmulatedDriver driver;
  private Device gpu;

  @BeforeEach
  void start() {
    EmulatorBuild.require();
    driver = new EmulatedDriver();
    gpu = CudaDevice.of(driver);
  }

  private static GroupedTwin on(Device device) {
    return TopknotGroupedTwin.on(device, SEED);
  }

  @Test
  void stepsEvaluationGenerationAndFilesAreTheCpus() throws IOException {
    try (GroupedTwin cuda = on(gpu);
        GroupedTwin cpu = on(Device.cpu(2))) {
      Draw draw = new Draw(1);
      for (Parameter parameter : cpu.parameters()) {
        parameter
            .value()
            .copyFrom(draw.weights(1, Math.toIntExact(parameter.value().size())).toFloats());
      }
      copy(cpu, cuda);
      for (int step = 0; step < 3; step++) {
        assertThat(cuda.accumulate(batch(step, TOKENS - 3 * step)))
            .isCloseTo(cpu.accumulate(batch(step, TOKENS - 3 * step)), relative(1e-5));
        List<float[]> expected = floats(cpu, Parameter::gradient);
        List<float[]> actual = floats(cuda, Parameter::gradient);
        for (int i = 0; i < expected.size(); i++) {
          assertThat(row(actual.get(i)).distanceFrom(row(expected.get(i))))
              .as("gradient of %s", cpu.parameters().get(i).name())
              .isLessThanOrEqualTo(1e-5);
        }
        Balance balance = cuda.balance("experts");
        assertThat(balance.tokens()).isEqualTo(cpu.balance("experts").tokens());
        assertThat(balance.loadLoss()).isCloseTo(cpu.balance("experts").loadLoss(), relative(1e-3));
        cpu.update(UPDATE);
        cuda.update(UPDATE);
        copy(cpu, cuda);
        driver.poisonWorkspaces();
      }
      assertThat(cuda.evaluate(List.of(batch(7, TOKENS - 1))).perplexity())
          .isCloseTo(cpu.evaluate(List.of(batch(7, TOKENS - 1))).perplexity(), relative(1e-5));
      assertThat(cuda.generate(new int[] {1, 2}, 8, 0).toArray())
          .isEqualTo(cpu.generate(new int[] {1, 2}, 8, 0).toArray());
      Path file = folder.resolve("grouped.safetensors");
      cuda.save(file);
      cpu.load(file);
      assertThat(cpu.parameters())
          .extracting(Parameter::name)
          .contains("experts.noise.weight", "experts.groups.3.gate.weight");
    }
  }

  private static void copy(GroupedTwin from, GroupedTwin to) {
    List<float[]> values = floats(from, Parameter::value);
    for (int i = 0; i < values.size(); i++) {
      to.parameters().get(i).value().copyFrom(values.get(i));
    }
  }

  private static Matrix row(float[] values) {
    return Matrix.of(1, values.length, values);
  }

  @Test
  void trainingLearns() {
    try (GroupedTwin model = on(Device.cpu(1))) {
      double first = model.train(batch(0, TOKENS), UPDATE).loss();
      double last = first;
      for (int step = 0; step < 30; step++) {
        last = model.train(batch(0, TOKENS), UPDATE).loss();
      }
      assertThat(last).isLessThan(0.8 * first);
    }
  }

  /** As that of {@link TwinTest}: two steps under both sanitizers leave the same parameters. */
  @ParameterizedTest
  @EnumSource(names = {"THREAD", "ADDRESS"})
  void aRecordedStepIsSaneAndHasTheSameBits(Variant variant) throws IOException {
    Path launches = folder.resolve("launches.bin");
    List<float[]> expected;
    String source;
    try (Recording recording = new Recording(launches)) {
      RecordingDriver recorder = new RecordingDriver(driver, recording);
      try (GroupedTwin model = on(CudaDevice.of(recorder))) {
        model.train(batch(0, TOKENS), UPDATE);
        model.train(batch(1, TOKENS - 2), UPDATE);
        expected = floats(model, Parameter::value);
        source = recorder.source();
      }
    }
    Replay replay = Replay.run(EmulatorBuild.replayer(source, variant), launches, "random", "lazy");
    assertThat(replay.exit()).as(replay.said()).isZero();
    int read = expected.stream().mapToInt(values -> Float.BYTES * values.length).sum();
    FloatBuffer last =
        replay
            .output()
            .position(replay.output().limit() - read)
            .slice()
            .order(LITTLE_ENDIAN)
            .asFloatBuffer();
    for (float[] values : expected) {
      float[] actual = new float[values.length];
      last.get(actual);
      assertThat(Arrays.equals(actual, values)).as("the same bits").isTrue();
    }
  }
}
