package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.TwinTest.TOKENS;
import static dev.topknot.it.cuda.TwinTest.UPDATE;
import static dev.topknot.it.cuda.TwinTest.batch;
import static dev.topknot.it.cuda.TwinTest.floats;
import static dev.topknot.it.cuda.TwinTest.same;
import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Step;
import dev.topknot.runtime.cuda.CudaDevice;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A model with bf16 operands on the emulated device, beside the CPU, which computes in fp32. */
class RoundedTwinTest {
  private static final long SEED = 5;

  @TempDir private Path folder;

  private static RoundedTwin on(Device device) {
    return TopknotRoundedTwin.on(device, SEED);
  }

  @Test
  void onTheCpuItIsTheModelInFp32() {
    try (RoundedTwin rounded = on(Device.cpu(1));
        Twin exact = TopknotTwin.on(Device.cpu(1), SEED)) {
      for (int step = 0; step < 2; step++) {
        assertThat(rounded.train(batch(step, TOKENS), UPDATE).loss())
            .isEqualTo(exact.train(batch(step, TOKENS), UPDATE).loss());
      }
      same(floats(rounded, Parameter::value), floats(exact, Parameter::value));
    }
  }

  /** From one seed, free-running: tokens that go to other experts are counted. */
  @Test
  void aRunFallsAsInFp32() {
    double first = 0;
    double last = 0;
    double worst = 0;
    long moved = 0;
    try (RoundedTwin cuda = on(CudaDevice.of(new EmulatedDriver()));
        RoundedTwin cpu = on(Device.cpu(1))) {
      for (int step = 0; step < 20; step++) {
        Step expected = cpu.train(batch(step % 2, TOKENS), UPDATE);
        double actual = cuda.train(batch(step % 2, TOKENS), UPDATE).loss();
        worst = Math.max(worst, Math.abs(actual - expected.loss()) / expected.loss());
        first = step == 0 ? expected.loss() : first;
        last = actual;
        moved += moved(cuda.experts().balance().tokens(), cpu.experts().balance().tokens());
      }
    }
    System.out.printf(
        Locale.ROOT,
        "20 steps in bf16: loss %.4f to %.4f, largest relative distance from fp32 %.2e, at least"
            + " %d of %d choices differ%n",
        first,
        last,
        worst,
        moved,
        20 * TOKENS * 2);
    assertThat(last).isLessThan(0.95 * first);
    assertThat(worst).isPositive().isLessThanOrEqualTo(1e-2);
  }

  /** Choices that must have differed for the experts to get these numbers of tokens. */
  private static long moved(long[] one, long[] other) {
    long sum = 0;
    for (int i = 0; i < one.length; i++) {
      sum += Math.abs(one[i] - other[i]);
    }
    return sum / 2;
  }

  @Test
  void aStepInAnyOrderHasTheSameBits() {
    List<float[]> bits = bits(CudaDevice.of(new EmulatedDriver()));
    for (Device device : EmulatedDevices.all()) {
      same(bits, bits(device));
    }
  }

  private static List<float[]> bits(Device device) {
    try (RoundedTwin model = on(device)) {
      for (int step = 0; step < 3; step++) {
        model.train(batch(step, TOKENS - step), UPDATE);
      }
      return floats(model, Parameter::value);
    }
  }

  /** What the GPU trained in bf16 the CPU loads, saves byte by byte, and goes on with. */
  @Test
  void checkpointsCrossDevices() throws IOException {
    Path fromCpu = folder.resolve("cpu.safetensors");
    Path fromCuda = folder.resolve("cuda.safetensors");
    try (RoundedTwin cuda = on(CudaDevice.of(new EmulatedDriver()));
        RoundedTwin cpu = on(Device.cpu(1))) {
      cuda.train(batch(0, TOKENS), UPDATE);
      cuda.save(fromCuda);
      cpu.load(fromCuda);
      cpu.save(fromCpu);
      assertThat(Files.readAllBytes(fromCpu)).isEqualTo(Files.readAllBytes(fromCuda));
      double there = cuda.train(batch(1, TOKENS), UPDATE).loss();
      assertThat(cpu.train(batch(1, TOKENS), UPDATE).loss())
          .isCloseTo(there, TwinTest.relative(1e-2));
    }
  }
}
