package dev.topknot.runtime;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import org.junit.jupiter.api.Test;

class TensorTest {
  private final Device device = Device.cpu(1);

  @Test
  void devicesHaveNames() {
    assertThat(Device.cpu(1).name()).isEqualTo("CPU with 1 thread");
    assertThat(Device.cpu(2)).hasToString("CPU with 2 threads").isSameAs(Device.cpu(2));
    assertThat(Device.best().name()).startsWith("CPU");
    assertThatIllegalArgumentException().isThrownBy(() -> Device.cpu(0));
  }

  @Test
  void copiesRowMajor() {
    try (Tensor tensor = device.tensor(2, 3, 2)) {
      assertThat(tensor.size()).isEqualTo(12);
      assertThat(tensor.shape()).containsExactly(2, 3, 2);
      assertThat(tensor.device()).isSameAs(device);
      float[] values = new float[12];
      tensor.copyTo(values);
      assertThat(values).containsOnly(0);
      for (int i = 0; i < 12; i++) {
        values[i] = i;
      }
      tensor.copyFrom(values);
      assertThat(tensor.get(1, 2, 0)).isEqualTo(10);
      tensor.set(-1, 0, 2, 1);
      float[] part = new float[4];
      tensor.read(4, part, 1, 3);
      assertThat(part).containsExactly(0, 4, -1, 6);
      tensor.write(11, new float[] {8, 9}, 1, 1);
      assertThat(tensor.get(1, 2, 1)).isEqualTo(9);
      tensor.fill(2);
      assertThat(tensor.get(0, 0, 0)).isEqualTo(2);
    }
  }

  @Test
  void refusesWrongIndicesAndLengths() {
    try (Tensor tensor = device.tensor(2, 3)) {
      assertThatExceptionOfType(IndexOutOfBoundsException.class)
          .isThrownBy(() -> tensor.get(0, 3))
          .withMessage("[0, 3] is outside shape [2, 3]");
      assertThatExceptionOfType(IndexOutOfBoundsException.class)
          .isThrownBy(() -> tensor.get(1))
          .withMessage("expected 2 indices for shape [2, 3], got [1]");
      assertThatExceptionOfType(IndexOutOfBoundsException.class)
          .isThrownBy(() -> tensor.read(4, new float[9], 0, 3));
      assertThatIllegalArgumentException()
          .isThrownBy(() -> tensor.copyFrom(new float[5]))
          .withMessage("expected an array of 6 elements for shape [2, 3], got 5");
    }
    assertThatIllegalArgumentException()
        .isThrownBy(() -> device.tensor(1L << 40, 1L << 40))
        .withMessageContaining("[1099511627776, 1099511627776]");
    assertThatIllegalArgumentException().isThrownBy(() -> device.tensor(2, -1));
  }

  @Test
  void isOfNoUseAfterClose() {
    Tensor tensor = device.tensor(2);
    tensor.close();
    tensor.close();
    assertThatIllegalStateException().isThrownBy(() -> tensor.get(0));
    assertThatIllegalStateException()
        .isThrownBy(() -> tensor.fill(1))
        .withMessage("Tensor[2] on CPU with 1 thread is closed");
  }

  @Test
  void wrapsBuffersWithoutCopy() {
    FloatBuffer buffer =
        ByteBuffer.allocateDirect(24).order(ByteOrder.nativeOrder()).asFloatBuffer();
    try (Tensor tensor = Tensor.wrap(buffer, 3, 2)) {
      buffer.put(3, 5f);
      assertThat(tensor.get(1, 1)).isEqualTo(5);
      tensor.set(6, 2, 1);
    }
    assertThat(buffer.get(5)).isEqualTo(6);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Tensor.wrap(buffer, 7))
        .withMessage("expected a buffer with 7 floats remaining, got 6");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Tensor.wrap(FloatBuffer.allocate(2), 2))
        .withMessageContaining("direct");
  }

  @Test
  void mayBeEmpty() {
    try (Tensor none = device.tensor(0, 128)) {
      assertThat(none.size()).isZero();
      none.copyTo(new float[0]);
      none.fill(1);
    }
  }
}
