package dev.topknot.samples.lm;

import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Routing;
import dev.topknot.text.Vocabulary;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;
import java.util.stream.IntStream;

/**
 * What each expert of a layer is sent ([S17] table 9): of all tokens of a text, how many, and those
 * for which its gate is highest.
 */
final class Contexts {
  private static final Comparator<Place> BEST_FIRST =
      Comparator.comparingDouble((Place place) -> -place.gate)
          .thenComparingInt(place -> place.offset)
          .thenComparingInt(place -> place.sequence);

  private final int top;
  private final List<PriorityQueue<Place>> best = new ArrayList<>();
  private final long[] tokens;
  private final List<List<Integer>> sequences = new ArrayList<>();

  /**
   * One token that an expert was sent.
   *
   * @param gate its gate value
   * @param sequence which of the texts beside each other
   * @param offset where in it
   */
  record Place(float gate, int sequence, int offset) {}

  /**
   * Collects nothing yet.
   *
   * @param experts of the layer
   * @param batch texts beside each other
   * @param top places to keep of each expert
   */
  Contexts(int experts, int batch, int top) {
    this.top = top;
    this.tokens = new long[experts];
    for (int i = 0; i < experts; i++) {
      best.add(new PriorityQueue<>(BEST_FIRST.reversed()));
    }
    for (int i = 0; i < batch; i++) {
      sequences.add(new ArrayList<>());
    }
  }

  /** Adds the next batch of the text. */
  void add(Batch batch, Routing routing) {
    for (int t = 0; t < batch.valid(); t++) {
      int sequence = t % sequences.size();
      int offset = sequences.get(sequence).size();
      sequences.get(sequence).add(batch.inputs()[t]);
      for (int i = 0; i < routing.k(); i++) {
        int expert = routing.expert(t, i);
        tokens[expert]++;
        PriorityQueue<Place> places = best.get(expert);
        places.add(new Place(routing.gate(t, i), sequence, offset));
        if (places.size() > top) {
          places.remove();
        }
      }
    }
  }

  /** Tokens that an expert was sent. */
  long tokens(int expert) {
    return tokens[expert];
  }

  /** The part of all tokens that an expert was sent. */
  double share(int expert) {
    return (double) tokens[expert] / sequences.stream().mapToInt(List::size).sum();
  }

  /** Where an expert's gate is highest, the highest first. */
  List<Place> best(int expert) {
    return best.get(expert).stream().sorted(BEST_FIRST).toList();
  }

  /** The busiest experts, and as many from the middle of the rest. */
  int[] busiestAndMedian(int count) {
    int[] busiestFirst =
        IntStream.range(0, tokens.length)
            .boxed()
            .sorted(Comparator.comparingLong(expert -> -tokens[expert]))
            .mapToInt(Integer::intValue)
            .toArray();
    int busiest = Math.min(count, tokens.length);
    int median = Math.max(busiest, (tokens.length - count) / 2);
    return IntStream.concat(
            Arrays.stream(busiestFirst, 0, busiest),
            Arrays.stream(busiestFirst, median, Math.min(tokens.length, median + count)))
        .toArray();
  }

  /** A token in brackets, with the words around it as far as its sentence goes. */
  String words(Place place, Vocabulary vocabulary, int before, int after) {
    List<Integer> ids = sequences.get(place.sequence);
    int from = place.offset;
    while (from > 0 && place.offset - from < before && ids.get(from - 1) != Vocabulary.END) {
      from--;
    }
    List<String> words = new ArrayList<>();
    for (int i = from; i < ids.size() && i <= place.offset + after; i++) {
      String word = vocabulary.word(ids.get(i));
      words.add(i == place.offset ? "[" + word + "]" : word);
      if (i > place.offset && ids.get(i) == Vocabulary.END) {
        break;
      }
    }
    return String.join(" ", words);
  }
}
