package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.runtime.program.Init;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Layout.Entry;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class InitializerTest {
  private static final Layout LAYOUT =
      Layout.of(
          "Spec",
          List.of(
              new Entry("words", "weight", 1, 3000, 40, 0, Init.EMBEDDING_UNIFORM, 0),
              new Entry("lstm", "inputWeights", 1, 160, 40, 120_000, Init.GLOROT_UNIFORM, 1),
              new Entry("lstm", "recurrentWeights", 1, 160, 40, 126_400, Init.RECURRENT, 1),
              new Entry("lstm", "bias", 1, 1, 160, 132_800, Init.LSTM_BIAS, 1),
              new Entry("moe", "experts.*.w1", 3, 40, 7, 132_992, Init.GLOROT_UNIFORM, 2),
              new Entry("moe", "gate", 1, 3, 40, 133_888, Init.ZERO, 2),
              new Entry("moe", "threshold", 1, 1, 3, 134_016, Init.CONSTANT, 2, 0.25)));

  @Test
  void dependsOnTheSeedNotOnThreads() {
    float[] one = initial(1, 7);
    assertThat(initial(3, 7)).isEqualTo(one);
    assertThat(initial(1, 8)).isNotEqualTo(one);
  }

  @Test
  void staysInItsBoundsAndFillsThem() {
    float[] values = initial(2, 7);
    assertUniform(values, 0, 120_000, 0.1);
    assertUniform(values, 120_000, 6400, Math.sqrt(6.0 / 200));
    assertUniform(values, 126_400, 6400, 1 / Math.sqrt(40));
    assertUniform(values, 132_992, 840, Math.sqrt(6.0 / 47));
    for (int i = 0; i < 160; i++) {
      assertThat(values[132_800 + i]).isEqualTo(i >= 40 && i < 80 ? 1f : 0f);
    }
    for (int i = 0; i < 120; i++) {
      assertThat(values[133_888 + i]).isZero();
    }
    assertThat(Arrays.copyOfRange(values, 134_016, 134_020))
        .containsExactly(0.25f, 0.25f, 0.25f, 0);
  }

  @Test
  void drawsEveryTensorApart() {
    float[] values = initial(2, 7);
    double scale = Math.sqrt(6.0 / 200) * Math.sqrt(40);
    int equal = 0;
    for (int i = 0; i < 6400; i++) {
      if (Math.abs(values[120_000 + i] - scale * values[126_400 + i]) < 1e-6) {
        equal++;
      }
    }
    assertThat(equal).as("weights of one layer drawn alike").isLessThan(10);
    assertThat(Arrays.copyOfRange(values, 132_992, 132_992 + 280))
        .as("two experts")
        .isNotEqualTo(Arrays.copyOfRange(values, 133_272, 133_272 + 280));
  }

  private static void assertUniform(float[] values, int from, int count, double bound) {
    double sum = 0;
    double squares = 0;
    double largest = 0;
    for (int i = from; i < from + count; i++) {
      sum += values[i];
      squares += values[i] * values[i];
      largest = Math.max(largest, Math.abs(values[i]));
    }
    assertThat(largest).isLessThanOrEqualTo((float) bound).isGreaterThan(0.95 * bound);
    double deviation = bound / Math.sqrt(3);
    assertThat(Math.abs(sum / count)).isLessThan(5 * deviation / Math.sqrt(count));
    assertThat(Math.sqrt(squares / count)).isBetween(0.9 * deviation, 1.1 * deviation);
  }

  private static float[] initial(int threads, long seed) {
    try (Arena arena = Arena.allocate(LAYOUT.size())) {
      Matrix all = arena.matrix(0, 1, LAYOUT.size());
      Initializer.fill(CpuDevice.of(threads), LAYOUT, seed, all::write);
      float[] values = new float[(int) LAYOUT.size()];
      all.read(0, values, 0, values.length);
      return values;
    }
  }
}
