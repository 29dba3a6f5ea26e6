package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Matrix;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cuda.CudaDevice;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A twin of the sample's model on the emulated device, against the CPU device. */
class TwinTest {
  private static final long SEED = 5;
  static final int TOKENS = 20;
  private static final int VOCABULARY = 90;
  static final Update UPDATE = Update.of(0.01).withClip(1);

  @TempDir private Path folder;

  private EmulatedDriver driver;
  private Device gpu;

  @BeforeEach
  void start() {
    EmulatorBuild.require();
    driver = new EmulatedDriver();
    gpu = CudaDevice.of(driver);
  }

  private static Twin on(Device device) {
    return TopknotTwin.on(device, SEED);
  }

  static Batch batch(int number, int valid) {
    Draw draw = new Draw(number);
    return new Batch(draw.ids(TOKENS, VOCABULARY), draw.ids(TOKENS, VOCABULARY), valid);
  }

  static List<float[]> floats(LanguageModel model, Function<Parameter, Tensor> part) {
    List<float[]> all = new ArrayList<>();
    for (Parameter parameter : model.parameters()) {
      Tensor tensor = part.apply(parameter);
      float[] values = new float[Math.toIntExact(tensor.size())];
      tensor.copyTo(values);
      all.add(values);
    }
    return all;
  }

  private static void draw(Twin model) {
    Draw draw = new Draw(1);
    for (Parameter parameter : model.parameters()) {
      parameter
          .value()
          .copyFrom(draw.weights(1, Math.toIntExact(parameter.value().size())).toFloats());
    }
  }

  private static void close(String what, Twin one, Twin other, Function<Parameter, Tensor> part) {
    List<float[]> a = floats(one, part);
    List<float[]> b = floats(other, part);
    for (int i = 0; i < a.size(); i++) {
      Matrix actual = Matrix.of(1, a.get(i).length, a.get(i));
      Matrix expected = Matrix.of(1, b.get(i).length, b.get(i));
      assertThat(actual.distanceFrom(expected))
          .as("%s of %s: distance from the CPU's", what, one.parameters().get(i).name())
          .isLessThanOrEqualTo(1e-5);
    }
  }

  static void same(List<float[]> a, List<float[]> b) {
    for (int i = 0; i < a.size(); i++) {
      assertThat(Arrays.equals(a.get(i), b.get(i))).as("tensor %d", i).isTrue();
    }
  }

  @Test
  void gradientsAndParametersAreTheCpus() {
    try (Twin cuda = on(gpu);
        Twin cpu = on(Device.cpu(1))) {
      draw(cuda);
      draw(cpu);
      for (int step = 0; step < 3; step++) {
        Batch batch = batch(step, TOKENS - 3 * step);
        assertThat(cuda.accumulate(batch)).isCloseTo(cpu.accumulate(batch), relative(1e-5));
        close("gradient", cuda, cpu, Parameter::gradient);
        double norm = cuda.update(UPDATE).gradientNorm();
        assertThat(norm).isCloseTo(cpu.update(UPDATE).gradientNorm(), relative(1e-5));
        // equal from here on: Adam's first steps make rounding noise of tiny gradients large
        List<float[]> parameters = floats(cpu, Parameter::value);
        for (int i = 0; i < parameters.size(); i++) {
          cuda.parameters().get(i).value().copyFrom(parameters.get(i));
        }
      }
    }
  }

  static org.assertj.core.data.Percentage relative(double part) {
    return org.assertj.core.data.Percentage.withPercentage(100 * part);
  }

  /** From one seed, free-running, at a rate under which the loss falls. */
  @Test
  void aRunIsTheCpus() {
    double first = 0;
    double last = 0;
    double worst = 0;
    try (Twin cuda = on(gpu);
        Twin cpu = on(Device.cpu(1))) {
      for (int step = 0; step < 20; step++) {
        Batch batch = batch(step % 2, TOKENS);
        double expected = cpu.train(batch, UPDATE).loss();
        double actual = cuda.train(batch, UPDATE).loss();
        worst = Math.max(worst, Math.abs(actual - expected) / expected);
        first = step == 0 ? expected : first;
        last = expected;
      }
    }
    System.out.printf(
        Locale.ROOT,
        "20 steps from one seed: loss %.4f to %.4f, largest relative distance %.2e%n",
        first,
        last,
        worst);
    assertThat(last).isLessThan(0.95 * first);
    assertThat(worst).isLessThanOrEqualTo(1e-3);
  }

  @Test
  void aStepInPartsAndInAnyOrderHasTheSameBits() {
    List<float[]> whole = bits(EmulatedDevices.of(1), true);
    same(whole, bits(EmulatedDevices.of(2), true));
    same(whole, bits(EmulatedDevices.of(1), false));
  }

  private static List<float[]> bits(Device device, boolean whole) {
    try (Twin model = on(device)) {
      for (int step = 0; step < 3; step++) {
        if (whole) {
          model.train(batch(step, TOKENS - step), UPDATE);
        } else {
          model.accumulate(batch(step, TOKENS - step));
          model.update(UPDATE);
        }
      }
      return floats(model, Parameter::value);
    }
  }

  @Test
  void checkpointsCrossDevices() throws IOException {
    Path fromCpu = folder.resolve("cpu.safetensors");
    Path fromCuda = folder.resolve("cuda.safetensors");
    try (Twin cuda = on(gpu);
        Twin cpu = on(Device.cpu(1))) {
      cpu.save(fromCpu);
      cuda.save(fromCuda);
      assertThat(Files.readAllBytes(fromCuda))
          .as("as they begin")
          .isEqualTo(Files.readAllBytes(fromCpu));
      cuda.train(batch(0, TOKENS), UPDATE);
      cuda.train(batch(1, TOKENS), UPDATE);
      cuda.save(fromCuda);
      cpu.load(fromCuda);
      cpu.save(fromCpu);
      assertThat(Files.readAllBytes(fromCpu))
          .as("on the CPU")
          .isEqualTo(Files.readAllBytes(fromCuda));
      Batch next = batch(2, TOKENS);
      double there = cuda.train(next, UPDATE).loss();
      assertThat(cpu.train(next, UPDATE).loss()).isCloseTo(there, relative(1e-5));
      cpu.save(fromCpu);
      cuda.load(fromCpu);
      next = batch(3, TOKENS);
      there = cpu.train(next, UPDATE).loss();
      assertThat(cuda.train(next, UPDATE).loss()).isCloseTo(there, relative(1e-5));
    }
  }

  @Test
  void aStepThatIsNotFiniteChangesNothing() throws IOException {
    Path before = folder.resolve("before.safetensors");
    Path after = folder.resolve("after.safetensors");
    try (Twin model = on(gpu)) {
      model.train(batch(0, TOKENS), UPDATE);
      Tensor bias = model.parameters().get(3).value();
      float value = bias.get(0);
      bias.set(Float.NaN, 0);
      model.save(before);
      assertThatExceptionOfType(NonFiniteException.class)
          .isThrownBy(() -> model.train(batch(1, TOKENS), UPDATE))
          .satisfies(e -> assertThat(e.tensor()).isEqualTo(model.parameters().get(3).name()));
      model.save(after);
      assertThat(Files.readAllBytes(after)).isEqualTo(Files.readAllBytes(before));
      assertThat(model.step()).isEqualTo(1);

      bias.set(value, 0);
      Tensor words = model.words().parameters().get(0).value();
      words.fill(3e38f);
      model.save(before);
      assertThatExceptionOfType(NonFiniteException.class)
          .isThrownBy(() -> model.train(batch(1, TOKENS), UPDATE));
      model.save(after);
      assertThat(Files.readAllBytes(after)).isEqualTo(Files.readAllBytes(before));
    }
  }

  @Test
  void closingFreesEverything() {
    Twin model = on(gpu);
    LanguageModel reader = model.inference();
    model.train(batch(0, TOKENS), UPDATE);
    reader.evaluate(List.of(batch(1, TOKENS)));
    assertThat(reader.generate(new int[] {1, 2}, 3, 0).toArray()).hasSize(3);
    assertThat(driver.bytes()).isPositive();
    model.close();
    reader.close();
    assertThat(driver.open()).isZero();
  }
}
