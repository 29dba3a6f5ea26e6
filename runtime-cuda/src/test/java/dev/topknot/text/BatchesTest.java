package dev.topknot.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.topknot.runtime.Batch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BatchesTest {
  /** Tokens 1, 2, 3, …: each tells its own place. */
  private static Tokens text(int size) {
    return Tokens.of(IntStream.rangeClosed(1, size).toArray());
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1",
    "7, 3, 2",
    "100, 7, 5",
    "105, 7, 5",
    "106, 7, 5",
    "3, 8, 4",
    "8, 8, 1",
    "640, 32, 20",
    "641, 32, 20",
    "671, 32, 20",
    "1, 32, 20",
    "999, 1, 10",
    "30, 10, 100"
  })
  void predictsEveryTokenOnceAfterTheTokenBeforeIt(int size, int batch, int timesteps) {
    List<List<Integer>> sequences = new ArrayList<>();
    IntStream.range(0, batch).forEach(b -> sequences.add(new ArrayList<>()));
    Batches batches = text(size).batches(batch, timesteps);
    long steps = 0;
    for (Batch step : batches) {
      assertThat(step.inputs()).hasSize(batch * timesteps);
      assertThat(step.valid()).isBetween(1, batch * timesteps);
      for (int i = 0; i < step.valid(); i++) {
        assertThat(step.targets()[i]).as("valid tokens are a prefix").isPositive();
        assertThat(step.inputs()[i]).isEqualTo(step.targets()[i] - 1);
        sequences.get(i % batch).add(step.targets()[i]);
      }
      assertThat(Arrays.stream(step.targets()).skip(step.valid()).sum()).isZero();
      steps++;
    }
    assertThat(steps).isEqualTo(batches.steps());
    assertThat(batches.tokens()).isEqualTo(size);
    assertThat(sequences.stream().flatMap(List::stream))
        .as("in order, once each, contiguous by sequence")
        .containsExactlyElementsOf(IntStream.rangeClosed(1, size).boxed().toList());
    assertThat(sequences.get(0).size() - sequences.get(batch - 1).size()).isBetween(0, 1);
  }

  @Test
  void theFirstInputIsTheEndOfASentence() {
    Tokens text = Tokens.of(5, 6, 7);
    assertThat(text.batches(1, 3).iterator().next().inputs()).containsExactly(0, 5, 6);
  }

  @Test
  void goesOnFromAStep() {
    Batches all = text(100).batches(4, 3);
    List<Batch> list = list(all);
    assertThat(all.steps()).isEqualTo(9);
    assertThat(targets(list(all.from(4)))).isEqualTo(targets(list.subList(4, 9)));
    assertThat(targets(list(all.first(4)))).isEqualTo(targets(list.subList(0, 4)));
    assertThat(all.first(4).tokens() + all.from(4).tokens()).isEqualTo(100);
    assertThat(all.from(9)).isEmpty();
    assertThat(all.first(100).steps()).isEqualTo(9);
    assertThat(all.first(7).from(3).first(Long.MAX_VALUE).steps()).isEqualTo(4);
    assertThatThrownBy(() -> all.from(10)).hasMessage("position: expected 0 to 9, got 10");
    assertThatThrownBy(() -> all.from(9).iterator().next())
        .isInstanceOf(NoSuchElementException.class);
  }

  @Test
  void refusesShapesWithoutTokens() {
    assertThatThrownBy(() -> text(3).batches(0, 5)).hasMessage("batch: expected at least 1, got 0");
    assertThatThrownBy(() -> text(3).batches(5, -1))
        .hasMessage("timesteps: expected at least 1, got -1");
  }

  @Test
  void fingerprintsTellTextsApart() {
    assertThat(text(3).fingerprint()).isEqualTo(Tokens.of(1, 2, 3).fingerprint()).hasSize(16);
    assertThat(text(3).fingerprint()).isNotEqualTo(Tokens.of(1, 3, 2).fingerprint());
    assertThat(text(3).fingerprint()).isNotEqualTo(Tokens.of(1, 2, 3, 0).fingerprint());
  }

  @Test
  void holdsMoreTokensThanOneChunk() {
    int size = (1 << 20) + 5;
    Tokens text = text(size);
    assertThat(text.get(size - 1)).isEqualTo(size);
    assertThat(text.slice(1 << 20, size).get(0)).isEqualTo((1 << 20) + 1);
    assertThat(list(text.batches(3, 1 << 10)).stream().mapToLong(Batch::valid).sum())
        .isEqualTo(size);
  }

  private static List<Batch> list(Batches batches) {
    List<Batch> list = new ArrayList<>();
    batches.forEach(list::add);
    return list;
  }

  private static List<List<Integer>> targets(List<Batch> batches) {
    return batches.stream().map(b -> Arrays.stream(b.targets()).boxed().toList()).toList();
  }
}
