package dev.topknot.runtime.program;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.dsl.Optimizer;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.fixture.TinyMoE;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MoEInstanceTest {
  private static final Update UPDATE = Update.of(0.1);

  private final Device device = Device.cpu(1);
  private final Tensor x = device.tensor(4, 3);
  private final Tensor y = device.tensor(4, 3);
  private final Tensor dy = device.tensor(4, 3);
  private final Tensor dx = device.tensor(4, 3);
  private final TinyMoE moe = TinyMoE.on(device, 3);
  private final Parameter odd = moe.parameters().get(1);

  @BeforeEach
  void fill() {
    for (int t = 0; t < 4; t++) {
      for (int i = 0; i < 3; i++) {
        x.set(1 + t + 10 * i, t, i);
        dy.set(t - i, t, i);
      }
    }
  }

  @AfterEach
  void close() {
    moe.close();
    x.close();
    y.close();
    dy.close();
    dx.close();
  }

  @Test
  void stepsForwardAndBackward() {
    moe.forward(x, y);
    moe.backward(dy, dx);
    float[] gradient = values(odd.gradient());
    assertThat(gradient[0]).isEqualTo(1 * 2 + 3 * 4);
    float[] before = values(odd.value());
    double norm = moe.update(UPDATE);
    assertThat(norm).isPositive();
    assertThat(moe.step()).isEqualTo(1);
    assertThat(values(odd.value())).isNotEqualTo(before);
    assertThat(values(odd.gradient())).as("still there to see").isEqualTo(gradient);
    assertThat(moe.balance().tokens()).containsExactly(2, 2);
    assertThat(moe.name()).isEqualTo("TinyMoE");
    assertThat(odd.name()).isEqualTo("experts.1.w1");
  }

  @Test
  void backwardOverwritesAndAccumulateAdds() {
    moe.forward(x, y);
    moe.backward(dy, dx);
    float[] once = values(odd.gradient());
    moe.forward(x, y);
    moe.backward(dy, dx);
    assertThat(values(odd.gradient())).isEqualTo(once);
    moe.forward(x, y);
    moe.accumulate(dy, dx);
    float[] twice = values(odd.gradient());
    for (int i = 0; i < once.length; i++) {
      assertThat(twice[i]).isEqualTo(2 * once[i]);
    }
    moe.update(Update.of(0));
    moe.forward(x, y);
    moe.accumulate(dy, dx);
    assertThat(values(odd.gradient())).as("from zero after an update").isEqualTo(once);
  }

  @Test
  void microBatchesHaveTokenNumbersOfTheirOwn() {
    x.fill(0);
    moe.forward(x, y);
    assertThat(y.get(1, 0)).isEqualTo(1);
    moe.accumulate(dy, dx);
    moe.forward(x, y);
    assertThat(y.get(1, 0)).isEqualTo(5);
    moe.accumulate(dy, dx);
    moe.forward(x, y);
    assertThat(y.get(1, 0)).isEqualTo(9);
    moe.accumulate(dy, dx);
    moe.update(UPDATE);
    moe.forward(x, y);
    assertThat(y.get(1, 0)).isEqualTo(1);
  }

  @Test
  void inferringDisturbsNoBackward() {
    moe.forward(x, y);
    try (Tensor other = device.tensor(2, 3);
        Tensor out = device.tensor(2, 3)) {
      other.fill(1);
      moe.infer(other, out);
      assertThat(out.get(1, 0))
          .isEqualTo(odd.value().get(0, 0) + odd.value().get(0, 1) + odd.value().get(0, 2));
    }
    assertThat(moe.balance().tokens()).containsExactly(2, 2);
    moe.backward(dy, dx);
    assertThat(odd.gradient().get(0, 0)).isEqualTo(14);
  }

  @Test
  void takesFewerRowsAndNone() {
    try (Tensor some = device.tensor(1, 3);
        Tensor someOut = device.tensor(1, 3);
        Tensor none = device.tensor(0, 3);
        Tensor noneOut = device.tensor(0, 3)) {
      moe.forward(some, someOut);
      assertThat(moe.balance().tokens()).containsExactly(1, 0);
      assertThatIllegalArgumentException()
          .isThrownBy(() -> moe.backward(dy, dx))
          .withMessage("dy must have the 1 rows of the latest forward, but has 4");
      moe.backward(some, someOut);
      assertThat(values(odd.gradient())).containsOnly(0);

      moe.forward(x, y);
      moe.backward(dy, dx);
      moe.infer(none, noneOut);
      moe.forward(none, noneOut);
      assertThat(moe.balance().tokens()).containsExactly(0, 0);
      moe.accumulate(none, noneOut);
      assertThat(odd.gradient().get(0, 0)).isEqualTo(14);
      moe.forward(none, noneOut);
      moe.backward(none, noneOut);
      assertThat(values(odd.gradient())).containsOnly(0);
    }
  }

  @Test
  void backwardFollowsItsForward() {
    assertThatIllegalStateException().isThrownBy(moe::balance);
    assertThatIllegalStateException()
        .isThrownBy(() -> moe.backward(dy, dx))
        .withMessageContaining("backward without a forward");
    moe.forward(x, y);
    moe.backward(dy, dx);
    assertThatIllegalStateException().isThrownBy(() -> moe.backward(dy, dx));
    moe.update(UPDATE);
    assertThatIllegalStateException()
        .isThrownBy(() -> moe.update(UPDATE))
        .withMessageContaining("update without a backward");
    moe.forward(x, y);
    moe.infer(x, y);
    moe.backward(dy, dx);
  }

  @Test
  void noticesAnInputThatWasChanged() {
    moe.forward(x, y);
    x.set(1, 0, 0);
    assertThatIllegalStateException()
        .isThrownBy(() -> moe.backward(dy, dx))
        .withMessageContaining("x was written to between forward and backward");
    moe.forward(x, y);
    moe.infer(y, x);
    assertThatIllegalStateException().isThrownBy(() -> moe.backward(dy, dx));
    moe.forward(x, y);
    x.close();
    assertThatIllegalStateException()
        .isThrownBy(() -> moe.backward(dy, dx))
        .withMessageContaining("x was closed");
  }

  @Test
  void refusesOperandsThatDoNotFit() {
    try (Tensor tall = device.tensor(5, 3);
        Tensor wide = device.tensor(4, 4);
        Tensor flat = device.tensor(3);
        Tensor shorter = device.tensor(3, 3)) {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> moe.forward(tall, y))
          .withMessage("x must be [0..4, 3], but is [5, 3]");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> moe.infer(x, wide))
          .withMessage("y must be [0..4, 3], but is [4, 4]");
      assertThatIllegalArgumentException().isThrownBy(() -> moe.forward(flat, y));
      assertThatIllegalArgumentException()
          .isThrownBy(() -> moe.forward(x, shorter))
          .withMessage("y must have the shape of x, [4, 3], but has [3, 3]");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> moe.forward(x, x))
          .withMessage("x and y must be two tensors, but are one");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> moe.forward(new Elsewhere(), y))
          .withMessage("x must be on the CPU, but is on elsewhere");
    }
    y.close();
    assertThatIllegalStateException()
        .isThrownBy(() -> moe.forward(x, y))
        .withMessage("y is closed");
  }

  @Test
  void withoutOptimizerEachBackwardIsAStepOfItsOwn() {
    try (TinyMoE bare = TinyMoE.on(device, 3, Optimizer.NONE)) {
      for (int i = 1; i <= 3; i++) {
        bare.forward(x, y);
        bare.backward(dy, dx);
        assertThat(bare.step()).isEqualTo(i);
      }
      float[] once = values(bare.parameters().get(1).gradient());
      bare.forward(x, y);
      float shift = y.get(0, 0);
      bare.accumulate(dy, dx);
      assertThat(bare.step()).isEqualTo(3);
      assertThat(bare.parameters().get(1).gradient().get(0, 0)).isEqualTo(2 * once[0]);
      bare.forward(x, y);
      assertThat(y.get(0, 0) - shift).as("numbers go on").isCloseTo(4, within(1e-4f));
    }
  }

  @Test
  void refusesOperandsInTheMemoryOfOthers() {
    FloatBuffer memory =
        ByteBuffer.allocateDirect(24 * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    try (Tensor one = Tensor.wrap(memory.duplicate().limit(12), 4, 3);
        Tensor overlapping = Tensor.wrap(memory.duplicate().position(11).limit(23), 4, 3);
        Tensor beside = Tensor.wrap(memory.duplicate().position(12), 4, 3)) {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> moe.forward(one, overlapping))
          .withMessage("x and y must be two tensors, but share memory");
      assertThatIllegalArgumentException().isThrownBy(() -> moe.infer(overlapping, one));
      moe.forward(one, beside);
      assertThatIllegalArgumentException()
          .isThrownBy(() -> moe.backward(beside, overlapping))
          .withMessage("dy and dx must be two tensors, but share memory");
    }
    moe.forward(x, y);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> moe.backward(dy, x))
        .withMessageContaining("dx must not share memory with the x of the latest forward");
    moe.backward(dy, y);
    assertThat(odd.gradient().get(0, 0)).isEqualTo(14);
  }

  @Test
  void refusesADeviceItIsNotCompiledFor() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> TinyMoE.on(new ElsewhereDevice(), 1))
        .withMessage("TinyMoE is compiled for the CPU and for CUDA, but the device is elsewhere");
  }

  @Test
  void aGradientThatIsNotFiniteChangesNothing() {
    float[] before = values(odd.value());
    dy.set(Float.POSITIVE_INFINITY, 1, 1);
    assertNonFinite("the gradient of experts.1.w1", before);
    dy.set(1, 1, 1);
    x.set(Float.NaN, 3, 2);
    assertNonFinite("x", before);
    x.set(3e38f, 3, 2);
    x.set(3e38f, 3, 1);
    odd.value().fill(2);
    assertNonFinite("y", values(odd.value()));
    odd.value().set(Float.NaN, 0, 0);
    assertNonFinite("experts.1.w1", values(odd.value()));
    assertThat(moe.step()).isZero();
    assertThatIllegalStateException().isThrownBy(() -> moe.update(UPDATE));
  }

  private void assertNonFinite(String tensor, float[] values) {
    moe.forward(x, y);
    moe.backward(dy, dx);
    assertThatExceptionOfType(NonFiniteException.class)
        .isThrownBy(() -> moe.update(UPDATE))
        .satisfies(e -> assertThat(e.tensor()).isEqualTo(tensor));
    assertThat(values(odd.value())).isEqualTo(values);
  }

  @Test
  void savesAndLoadsToTheSameBits(@TempDir Path directory) throws IOException {
    Path file = directory.resolve("moe.safetensors");
    step(moe);
    moe.save(file);
    step(moe);
    try (TinyMoE resumed = TinyMoE.on(device, 99)) {
      resumed.load(file);
      assertThat(resumed.step()).isEqualTo(1);
      step(resumed);
      assertThat(values(resumed.parameters().get(1).value())).isEqualTo(values(odd.value()));
    }
  }

  private void step(TinyMoE of) {
    of.forward(x, y);
    of.backward(dy, dx);
    of.update(UPDATE);
  }

  @Test
  void inferenceSharesParameters() {
    TinyMoE serving = moe.inference();
    step(moe);
    moe.infer(x, y);
    float[] expected = values(y);
    moe.close();
    serving.infer(x, y);
    assertThat(values(y)).isEqualTo(expected);
    assertThatIllegalStateException()
        .isThrownBy(() -> serving.forward(x, y))
        .withMessageContaining("for inference");
    assertThatIllegalStateException().isThrownBy(() -> serving.update(UPDATE));
    assertThatIllegalStateException().isThrownBy(() -> serving.save(Path.of("x")));
    serving.close();
    assertThatIllegalStateException()
        .isThrownBy(() -> serving.infer(x, y))
        .withMessage("TinyMoE is closed");
  }

  private static float[] values(Tensor tensor) {
    float[] values = new float[(int) tensor.size()];
    tensor.copyTo(values);
    return values;
  }

  /** A device that nothing is compiled for. */
  private static final class ElsewhereDevice extends Device {
    @Override
    public String name() {
      return "elsewhere";
    }

    @Override
    public Tensor tensor(long... shape) {
      return new Elsewhere();
    }
  }

  /** A tensor on it. */
  private static final class Elsewhere extends Tensor {
    Elsewhere() {
      super(new ElsewhereDevice(), 4, 3);
    }

    @Override
    public void read(long from, float[] to, int at, int count) {}

    @Override
    public void write(long to, float[] from, int at, int count) {}

    @Override
    public void fill(float value) {}

    @Override
    public void close() {}
  }
}
