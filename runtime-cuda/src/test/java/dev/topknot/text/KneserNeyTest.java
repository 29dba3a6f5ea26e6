package dev.topknot.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.runtime.Evaluation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class KneserNeyTest {
  private static final int A = 2;
  private static final int B = 3;

  /** "a b" and "a a": too small to estimate discounts, so 0.5 and 1. */
  private static final Tokens TOY = Tokens.of(A, B, Vocabulary.END, A, A, Vocabulary.END);

  @Test
  void isWhatOneComputesByHand() {
    KneserNey bigrams = KneserNey.of(TOY, 4, 2);
    // Different tokens before a: </S> and a; before b: a; before </S>: b and a. 5 in all, of which
    // 1 + 0.5 + 1 are spread over 4 entries.
    double a = (2 - 1 + 2.5 / 4) / 5;
    double b = (1 - 0.5 + 2.5 / 4) / 5;
    double unknown = 2.5 / 4 / 5;
    int[] unseen = {A, Vocabulary.UNKNOWN};
    assertClose(bigrams.probability(unseen, A), a);
    assertClose(bigrams.probability(unseen, B), b);
    assertClose(bigrams.probability(unseen, Vocabulary.END), a);
    assertClose(bigrams.probability(unseen, Vocabulary.UNKNOWN), unknown);
    // After a: b, a and </S>, once each.
    assertClose(bigrams.probability(new int[] {A}, B), (1 - 0.5 + 1.5 * b) / 3);
    assertClose(bigrams.probability(new int[] {A}, Vocabulary.UNKNOWN), 1.5 * unknown / 3);
    // Both sentences begin with a.
    double begins = (2 - 1 + 1 * a) / 2;
    assertClose(bigrams.probability(new int[0], A), begins);
    assertClose(bigrams.probability(new int[] {B, Vocabulary.END}, A), begins);
    Evaluation evaluation = bigrams.evaluate(Tokens.of(A, B));
    assertClose(evaluation.loss(), -Math.log(begins * (1 - 0.5 + 1.5 * b) / 3) / 2);
    assertThat(evaluation.tokens()).isEqualTo(2);
  }

  /** Below the longest n-grams, what begins a sentence has its true count: nothing is before it. */
  @Test
  void countsBeginningsOfSentencesAsTheyOccur() {
    KneserNey trigrams = KneserNey.of(TOY, 4, 3);
    double a = (2 - 1 + 2.5 / 4) / 5;
    assertClose(trigrams.probability(new int[0], A), (2 - 1 + 1 * a) / 2);
  }

  @ParameterizedTest
  @CsvSource({"1, 300", "2, 300", "3, 300", "5, 300", "5, 5000", "4, 20000"})
  void agreesWithTheFormulasAndSumsToOne(int order, int size) {
    SplittableRandom random = new SplittableRandom(31L * order + size);
    int vocabulary = 13;
    // Ids 11 and 12 are in the vocabulary, but not in the text.
    int[] text =
        random.ints(size, 0, 66).map(x -> (int) ((Math.sqrt(8 * x + 1) - 1) / 2)).toArray();
    KneserNey model = KneserNey.of(Tokens.of(text), vocabulary, order);
    Naive naive = new Naive(text, vocabulary, order);
    for (int i = 0; i < 60; i++) {
      int at = random.nextInt(text.length);
      int[] context =
          i % 2 == 0
              ? Arrays.copyOfRange(text, Math.max(0, at - random.nextInt(9)), at)
              : random.ints(random.nextInt(6), 0, vocabulary).toArray();
      double sum = 0;
      for (int word = 0; word < vocabulary; word++) {
        double p = model.probability(context, word);
        assertThat(p).isPositive().isCloseTo(naive.probability(context, word), within(1e-12));
        sum += p;
      }
      assertClose(sum, 1);
    }
    int[] heldOut = random.ints(200, 0, vocabulary).toArray();
    double loss =
        IntStream.range(0, heldOut.length)
            .mapToDouble(i -> -Math.log(naive.probability(Arrays.copyOf(heldOut, i), heldOut[i])))
            .average()
            .orElseThrow();
    assertClose(model.evaluate(Tokens.of(heldOut)).loss(), loss);
    for (int length = 2; length <= order; length++) {
      assertThat(model.ngrams(length)).isEqualTo(naive.counts.get(length).size());
    }
  }

  @Test
  void knowsMoreWithLongerContexts() {
    int[] text = new int[6000];
    Arrays.setAll(text, i -> new int[] {2, 3, 2, 4, 2, 5, 2, 6, 0}[i % 9]);
    double before = Double.POSITIVE_INFINITY;
    for (int order = 1; order <= 3; order++) {
      double now = KneserNey.of(Tokens.of(text), 7, order).evaluate(Tokens.of(text)).perplexity();
      assertThat(now).isLessThan(0.7 * before);
      before = now;
    }
    assertThat(before).isLessThan(1.01);
  }

  @Test
  void refusesWhatIsNoTextAndNoOrder() {
    assertThatThrownBy(() -> KneserNey.of(TOY, 4, 0)).hasMessageContaining("at least 1, got 0");
    KneserNey model = KneserNey.of(TOY, 4, 2);
    assertThatThrownBy(() -> model.evaluate(Tokens.of()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("at least 1 token");
    assertThatThrownBy(() -> model.evaluate(Tokens.of(4))).hasMessageContaining("0 to 3, got 4");
    assertThatThrownBy(() -> model.probability(new int[] {-1}, 0)).hasMessageContaining("got -1");
  }

  private static void assertClose(double actual, double expected) {
    assertThat(actual).isCloseTo(expected, within(1e-12));
  }

  /** The formulas word for word, over maps of lists. */
  private static final class Naive {
    /** By length, n-gram to count. */
    final Map<Integer, Map<List<Integer>, Integer>> counts = new HashMap<>();

    private final int vocabulary;
    private final int order;

    Naive(int[] text, int vocabulary, int order) {
      this.vocabulary = vocabulary;
      this.order = order;
      Set<List<Integer>> extended = new HashSet<>();
      IntStream.rangeClosed(1, order).forEach(length -> counts.put(length, new HashMap<>()));
      for (int i = 0; i < text.length; i++) {
        List<Integer> sentence = context(Arrays.copyOf(text, i));
        sentence.add(text[i]);
        for (int length = 1; length <= Math.min(order, sentence.size()); length++) {
          int begin = sentence.size() - length;
          List<Integer> ngram = List.copyOf(sentence.subList(begin, sentence.size()));
          boolean counted =
              length == order
                  || begin == 0
                  || extended.add(List.copyOf(sentence.subList(begin - 1, sentence.size())));
          if (counted) {
            counts.get(length).merge(ngram, 1, Integer::sum);
          }
        }
      }
    }

    /** From the end of the sentence before on. */
    private static List<Integer> context(int[] before) {
      List<Integer> context = new ArrayList<>(List.of(Vocabulary.END));
      for (int token : before) {
        if (token == Vocabulary.END) {
          context.clear();
        }
        context.add(token);
      }
      return context;
    }

    double probability(int[] before, int word) {
      List<Integer> context = context(before);
      int length = Math.min(order - 1, context.size());
      return probability(context.subList(context.size() - length, context.size()), word);
    }

    private double probability(List<Integer> context, int word) {
      double shorter =
          context.isEmpty()
              ? 1.0 / vocabulary
              : probability(context.subList(1, context.size()), word);
      Map<List<Integer>, Integer> ngrams = counts.get(context.size() + 1);
      double total = 0;
      double taken = 0;
      double kept = 0;
      for (int v = 0; v < vocabulary; v++) {
        List<Integer> ngram = new ArrayList<>(context);
        ngram.add(v);
        int count = ngrams.getOrDefault(ngram, 0);
        total += count;
        taken += discount(ngrams, count);
        kept = v == word ? count - discount(ngrams, count) : kept;
      }
      return total == 0 ? shorter : (kept + taken * shorter) / total;
    }

    private static double discount(Map<List<Integer>, Integer> ngrams, int count) {
      double[] n = new double[5];
      for (int i = 1; i <= 4; i++) {
        int wanted = i;
        n[i] = ngrams.values().stream().filter(c -> c == wanted).count();
      }
      double y = n[1] / (n[1] + 2 * n[2]);
      double[] discounts = {
        0, 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]
      };
      boolean estimated = Arrays.stream(n).skip(1).allMatch(c -> c > 0);
      boolean taking = Arrays.stream(discounts).skip(1).allMatch(d -> d > 0);
      return (estimated && taking ? discounts : new double[] {0, 0.5, 1, 1.5})[Math.min(3, count)];
    }
  }
}
