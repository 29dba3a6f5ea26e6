package dev.topknot.samples.lm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Routing;
import dev.topknot.text.Corpus;
import dev.topknot.text.Vocabulary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ContextsTest {
  @TempDir Path folder;

  /** Two texts beside each other, 0 1 2 and 0 3 4 of the first batch, then 5 and nothing. */
  @Test
  void findsTheHighestGatesAndTheWordsAround() throws IOException {
    Path file = Files.writeString(folder.resolve("text.txt"), "a a a b b c d\na\n");
    Vocabulary vocabulary = Corpus.at(file).read(10).vocabulary();
    int a = vocabulary.id("a");
    int b = vocabulary.id("b");
    int c = vocabulary.id("c");
    int d = vocabulary.id("d");
    int end = Vocabulary.END;
    Contexts contexts = new Contexts(5, 2, 2);
    int[] first = {end, end, a, c, b, d};
    contexts.add(
        new Batch(first, first, 6),
        new Routing(
            "experts",
            2,
            new int[] {0, 1, 0, 1, 3, 0, 3, 0, 3, 1, 3, 1},
            new float[] {0.5f, 0.5f, 0.6f, 0.4f, 0.9f, 0.1f, 0.7f, 0.3f, 0.8f, 0.2f, 0.7f, 0.3f}));
    int[] second = {end, 0, a, 0, 0, 0};
    contexts.add(
        new Batch(second, second, 1),
        new Routing("experts", 2, new int[] {3, 4}, new float[] {1, 0}));

    assertThat(contexts.tokens(3)).isEqualTo(5);
    assertThat(contexts.share(3)).isEqualTo(5 / 7.0);
    assertThat(contexts.tokens(2)).isZero();
    assertThat(contexts.best(2)).isEmpty();
    assertThat(contexts.best(3))
        .containsExactly(new Contexts.Place(1, 0, 3), new Contexts.Place(0.9f, 0, 1));
    assertThat(contexts.best(0))
        .containsExactly(new Contexts.Place(0.6f, 1, 0), new Contexts.Place(0.5f, 0, 0));

    assertThat(contexts.words(new Contexts.Place(1, 0, 1), vocabulary, 5, 9))
        .as("from the sentence's begin to its end")
        .isEqualTo("[a] b </S>");
    assertThat(contexts.words(new Contexts.Place(1, 0, 3), vocabulary, 1, 1)).isEqualTo("b [</S>]");
    assertThat(contexts.words(new Contexts.Place(1, 1, 2), vocabulary, 1, 0)).isEqualTo("c [d]");
    assertThat(contexts.words(new Contexts.Place(1, 1, 2), vocabulary, 0, 3)).isEqualTo("[d]");
  }

  @Test
  void choosesTheBusiestExpertsAndSomeFromTheMiddle() {
    Contexts contexts = new Contexts(7, 1, 1);
    int[] sent = {4, 4, 4, 4, 6, 6, 6, 0, 0, 5};
    contexts.add(
        new Batch(new int[10], new int[10], 10), new Routing("experts", 1, sent, new float[10]));
    assertThat(contexts.busiestAndMedian(1)).containsExactly(4, 5);
    assertThat(contexts.busiestAndMedian(3)).containsExactly(4, 6, 0, 5, 1, 2);
    assertThat(contexts.busiestAndMedian(9)).containsExactly(4, 6, 0, 5, 1, 2, 3);
  }
}
