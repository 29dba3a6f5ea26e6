package dev.topknot.runtime.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Step;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class CudaModelExecutorTest {
  private static final Batch BATCH =
      new Batch(new int[] {1, 2, 3, 4, 0, 1}, new int[] {2, 3, 4, 0, 1, 1}, 6);
  private static final Update UPDATE = new Update(0.5, 0, 0, 1e-8, Double.POSITIVE_INFINITY);

  private final FakeDriver driver = SumModel.driver();
  private final CudaDevice device = CudaDevice.of(driver);

  private static float weight(LanguageModel model) {
    return model.parameters().get(0).value().get(0, 0);
  }

  private float state() {
    return driver.at(stateAddress()).getFloat(0);
  }

  /** The training state is what the fifth parameter of forward points to: find it by its use. */
  private long stateAddress() {
    return captured[0];
  }

  private final long[] captured = new long[1];

  private LanguageModel open() {
    FakeDriver.Kernel commit = driver.kernels.get("commit");
    driver.kernels.put(
        "commit",
        p -> {
          captured[0] = p[2];
          commit.run(p);
        });
    return SumModel.on(device);
  }

  @Test
  void aTrainingStepIsOneGraphBetweenTwoCopies() {
    try (LanguageModel model = open()) {
      model.train(BATCH, UPDATE);
      driver.log.clear();
      Step step = model.train(BATCH, UPDATE);
      assertThat(driver.log.subList(0, 3))
          .containsExactly("write " + (128 + 2 * 4 * 6), "replay of 5", "read 96");
      assertThat(driver.log.subList(3, driver.log.size()))
          .as("the balance")
          .allMatch(l -> l.startsWith("read"));
      assertThat(step.number()).isEqualTo(2);
      assertThat(driver.graphs).hasSize(1);
    }
    assertThat(driver.isEmpty()).isTrue();
  }

  @Test
  void aStepInPartsIsTheSame() {
    float[] whole = new float[2];
    float[] parts = new float[2];
    try (LanguageModel model = open()) {
      for (int i = 0; i < 3; i++) {
        model.train(BATCH, UPDATE);
      }
      whole[0] = weight(model);
      whole[1] = state();
    }
    try (LanguageModel model = open()) {
      for (int i = 0; i < 3; i++) {
        model.accumulate(BATCH);
        model.update(UPDATE);
      }
      parts[0] = weight(model);
      parts[1] = state();
    }
    assertThat(parts).isEqualTo(whole);
    assertThat(whole[1]).isEqualTo(33);
  }

  @Test
  void theStepOfAWeight() {
    try (LanguageModel model = open()) {
      float w = weight(model);
      Step step = model.train(BATCH, UPDATE);
      assertThat(step.loss())
          .isEqualTo((w * 11.0 - 11) / 6, org.assertj.core.data.Offset.offset(1e-6));
      assertThat(step.gradientNorm()).isEqualTo(11f / 6);
      assertThat(weight(model)).isEqualTo(w - 0.5f * (11f / 6));
      Balance balance = step.balances().get(0);
      assertThat(balance.importance()).containsExactly(1, 3);
      assertThat(balance.tokens()).containsExactly(4, 2);
      assertThat(balance.importanceLoss())
          .as("annotated weight, CV² of 1 and 3")
          .isCloseTo(0.25 * 0.25, org.assertj.core.data.Offset.offset(1e-6));
      assertThat(balance.loadLoss())
          .as("the option's weight")
          .isCloseTo(0.5 * 0.25, org.assertj.core.data.Offset.offset(1e-6));
    }
  }

  @Test
  void aStepThatIsNotFiniteChangesNothing() {
    try (LanguageModel model = open()) {
      model.train(BATCH, UPDATE);
      float carried = state();
      try (Tensor weight = model.parameters().get(0).value()) {
        weight.fill(Float.NaN);
      }
      assertThatExceptionOfType(NonFiniteException.class)
          .isThrownBy(() -> model.train(BATCH, UPDATE))
          .satisfies(e -> assertThat(e.tensor()).isEqualTo("w.weight"));
      assertThat(weight(model)).isNaN();
      try (Tensor weight = model.parameters().get(0).value()) {
        weight.fill(3e38f);
      }
      assertThatExceptionOfType(NonFiniteException.class)
          .isThrownBy(() -> model.train(BATCH, UPDATE.withRate(1)))
          .satisfies(e -> assertThat(e.tensor()).isEqualTo("w.sums"));
      assertThat(weight(model)).isEqualTo(3e38f);
      assertThat(state()).isEqualTo(carried);
      assertThat(model.step()).isEqualTo(1);
    }
  }

  @Test
  void whatIsFrozenIsUploadedOnceItChanges() {
    try (LanguageModel model = open()) {
      model.train(BATCH, UPDATE);
      model.parameters().get(0).freeze(true);
      assertThat(model.train(BATCH, UPDATE).gradientNorm()).isZero();
      driver.log.clear();
      model.train(BATCH, UPDATE);
      assertThat(driver.log.stream().filter(l -> l.startsWith("write"))).hasSize(1);
      model.parameters().get(0).freeze(false);
      assertThat(model.train(BATCH, UPDATE).gradientNorm()).isPositive();
    }
  }

  @Test
  void parametersAreTheCpus() {
    try (LanguageModel model = open()) {
      float[] device = new float[6];
      model.parameters().get(1).value().copyTo(device);
      float[] cpu = new float[128];
      dev.topknot.runtime.cpu.Initializer.fill(
          SumModel.LAYOUT,
          7,
          (to, from, at, count) -> System.arraycopy(from, at, cpu, (int) to, count));
      assertThat(device).isEqualTo(java.util.Arrays.copyOfRange(cpu, 64, 70));
      assertThat(device).doesNotContain(0);
    }
  }

  @Test
  void inferenceSharesParametersAndModule() {
    LanguageModel model = open();
    LanguageModel reader = model.inference();
    assertThat(driver.modules).isEqualTo(1);
    double before = reader.evaluate(List.of(BATCH)).loss();
    model.train(BATCH, UPDATE);
    assertThat(reader.evaluate(List.of(BATCH)).loss()).isNotEqualTo(before);
    Tensor view = reader.parameters().get(0).value();
    model.close();
    assertThat(driver.isEmpty()).isFalse();
    assertThat(view.get(0, 0)).isFinite();
    reader.close();
    assertThat(driver.isEmpty()).isTrue();
    assertThatIllegalStateException()
        .isThrownBy(() -> view.get(0, 0))
        .withMessageContaining("closed");
  }

  @Test
  void withoutMemoryEverythingIsGivenBackAndTheSpecIsNamed() {
    int allocations = 0;
    while (true) {
      driver.left = allocations;
      try {
        open().close();
        break;
      } catch (OutOfMemoryError e) {
        assertThat(e).hasMessageContainingAll("SumModel on fake", "bytes wanted");
      }
      assertThat(driver.isEmpty()).as("after %d allocations", allocations).isTrue();
      allocations++;
    }
    assertThat(allocations).isGreaterThan(8);
    assertThat(driver.isEmpty()).isTrue();
  }

  @Test
  void aKernelThatFailsIsNamed() {
    driver.kernels.remove("norm");
    try (LanguageModel model = open()) {
      assertThatExceptionOfType(CudaException.class)
          .isThrownBy(() -> model.train(BATCH, UPDATE))
          .withMessage("kernel norm of SumModel: looking for it: CUDA_ERROR_NOT_FOUND");
    }
    assertThat(driver.isEmpty()).isTrue();
  }

  @Test
  void aFailureOfNoKnownKernelSaysWhatWasDone() {
    driver.kernels.put(
        "backward",
        p -> {
          throw new CudaException("waiting for the device: CUDA_ERROR_ILLEGAL_ADDRESS");
        });
    try (LanguageModel model = open()) {
      assertThatExceptionOfType(CudaException.class)
          .isThrownBy(() -> model.train(BATCH, UPDATE))
          .withMessageContainingAll(
              "the step of SumModel: waiting for the device: CUDA_ERROR_ILLEGAL_ADDRESS",
              "topknot.cuda.wait");
    }
    assertThat(driver.isEmpty()).isTrue();
  }

  @Test
  void withoutMachineCodeEverythingIsGivenBack() {
    driver.hasKernels = false;
    assertThatExceptionOfType(CudaException.class)
        .isThrownBy(this::open)
        .withMessageContaining("no kernels of SumModel");
    assertThat(driver.isEmpty()).isTrue();
  }

  @Test
  void whenEachKernelIsWaitedForTheOneThatFailsIsNamed() throws Exception {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-Dtopknot.cuda.wait=true",
                "-cp",
                System.getProperty("java.class.path"),
                Waiting.class.getName())
            .redirectErrorStream(true)
            .start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(said).isZero();
    assertThat(said)
        .contains(
            "kernel backward of SumModel: waiting for the device: CUDA_ERROR_ILLEGAL_ADDRESS");
  }

  /** Another process: a step whose backward fails. */
  static final class Waiting {
    private Waiting() {}

    public static void main(String[] arguments) {
      FakeDriver driver = SumModel.driver();
      driver.kernels.put(
          "backward",
          p -> {
            throw new CudaException("waiting for the device: CUDA_ERROR_ILLEGAL_ADDRESS");
          });
      try (LanguageModel model = SumModel.on(CudaDevice.of(driver))) {
        model.train(BATCH, UPDATE);
      } catch (CudaException e) {
        System.out.println(e.getMessage());
      }
    }
  }
}
