package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.runtime.cpu.Noise.Purpose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LogUniformTest {
  private static final long SEED = 0x123456789ABCDEFL;
  private static final int STREAM = Noise.stream(7, Purpose.SAMPLE, 0);

  @ParameterizedTest
  @ValueSource(ints = {2, 3, 50, 10_000, 100_000})
  void theTableFollowsTheFormula(int size) {
    LogUniform law = new LogUniform(size);
    double sum = 0;
    for (int id = 0; id < size; id++) {
      double expected = Math.log((id + 2.0) / (id + 1)) / Math.log(size + 1);
      assertThat(law.probability(id)).isCloseTo(expected, within(1e-8));
      sum += law.probability(id);
    }
    assertThat(sum).isEqualTo(1);
  }

  @Test
  void theRarestOfTheMostIdsCanBeDrawn() {
    LogUniform law = new LogUniform(1 << 24);
    for (int id = law.size() - 100_000; id < law.size(); id++) {
      double expected = Math.log((id + 2.0) / (id + 1)) / Math.log(law.size() + 1);
      assertThat(law.probability(id) / expected).isBetween(0.7, 1.3);
    }
  }

  /** The first and the last word of each id, and so all between them. */
  @Test
  void wordsGiveTheIdsWhoseProbabilityIsTheirNumber() {
    LogUniform law = new LogUniform(1000);
    long first = 0;
    for (int id = 0; id < law.size(); id++) {
      long next = first + Math.round(law.probability(id) * 0x1p32);
      assertThat(law.of((int) first)).isEqualTo(id);
      assertThat(law.of((int) (next - 1))).isEqualTo(id);
      first = next;
    }
    assertThat(first).isEqualTo(1L << 32);
  }

  /** Chi squared over 10^6 draws of 100 ids: the mean is 99, the standard deviation 14. */
  @Test
  void drawsFollowTheLaw() {
    LogUniform law = new LogUniform(100);
    int[] drawn = new int[1000];
    int[] counts = new int[100];
    for (int step = 0; step < 1000; step++) {
      law.draw(SEED, step, 640 * step, STREAM, drawn);
      for (int id : drawn) {
        counts[id]++;
      }
    }
    double chiSquared = 0;
    for (int id = 0; id < counts.length; id++) {
      double expected = 1e6 * Math.log((id + 2.0) / (id + 1)) / Math.log(101);
      chiSquared += (counts[id] - expected) * (counts[id] - expected) / expected;
    }
    assertThat(chiSquared).isBetween(99 - 3 * 14.0, 99 + 3 * 14.0);
  }

  /** Ids written down, so that no backend, JDK or later edit changes a draw unnoticed. */
  @Test
  void idsAreFixed() {
    int[] drawn = new int[10];
    new LogUniform(100_000).draw(42, 1, 2, STREAM, drawn);
    assertThat(drawn).containsExactly(1902, 76238, 234, 83742, 5597, 5889, 90917, 0, 28837, 3863);
  }

  @Test
  void seedStepTokenAndStreamTellDrawsApart() {
    LogUniform law = new LogUniform(100_000);
    int[] drawn = new int[20];
    int[] other = new int[20];
    law.draw(SEED, 3, 5, STREAM, drawn);
    law.draw(SEED, 3, 5, STREAM, other);
    assertThat(other).isEqualTo(drawn);
    law.draw(SEED + 1, 3, 5, STREAM, other);
    assertThat(other).isNotEqualTo(drawn);
    law.draw(SEED, 4, 5, STREAM, other);
    assertThat(other).isNotEqualTo(drawn);
    law.draw(SEED, 3, 6, STREAM, other);
    assertThat(other).isNotEqualTo(drawn);
    law.draw(SEED, 3, 5, STREAM + 1, other);
    assertThat(other).isNotEqualTo(drawn);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 0, -1, (1 << 24) + 1})
  void sizesThatCannotBe(int size) {
    assertThatThrownBy(() -> new LogUniform(size)).isInstanceOf(IllegalArgumentException.class);
  }
}
