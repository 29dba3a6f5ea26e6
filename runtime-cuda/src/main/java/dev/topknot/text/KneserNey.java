package dev.topknot.text;

import dev.topknot.runtime.Evaluation;
import java.util.Arrays;
import java.util.List;

/**
 * An n-gram model with interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999): what a
 * language model has to beat before anybody believes in it ([S17] table 7 begins with one of order
 * 5).
 *
 * <pre>{@code
 * KneserNey fiveGram = KneserNey.of(corpus, 5);
 * double perplexity = fiveGram.evaluate(corpus.heldOut()).perplexity();
 * }</pre>
 *
 * <p>With c the count of an n-gram, D its discount and h′ the context h without its first token,
 *
 * <pre>
 * p(w | h) = (c(h w) − D(c(h w)) + Σ D(c(h v)) · p(w | h′)) / Σ c(h v)   over all v
 * </pre>
 *
 * down to p = 1 / vocabulary. Below the longest n-grams c is the number of different tokens before
 * the n-gram, and the true count where nothing can be before it. Each order has three discounts,
 * for what is counted once, twice and more often, estimated from its counts of counts; 0.5, 1 and
 * 1.5 where the text is too small for that.
 *
 * <p>Every entry of the vocabulary is predicted, {@link Vocabulary#END} and {@link
 * Vocabulary#UNKNOWN} too, so that {@link #evaluate} compares token by token with {@link
 * dev.topknot.runtime.LanguageModel#evaluate}. A context ends where its sentence begins, as
 * sentences are shuffled, while recurrent models carry their state over.
 *
 * <p>Built once, it can be used by any number of threads. It takes about 30 bytes a token of the
 * training text at order 5, and some 20 more while it is built.
 */
public final class KneserNey {
  private static final double[] FALLBACK = {0, 0.5, 1, 1.5};

  private final Order[] orders;
  private final int vocabulary;

  private KneserNey(Order[] orders, int vocabulary) {
    this.orders = orders;
    this.vocabulary = vocabulary;
  }

  /**
   * Learns from the training text of a corpus.
   *
   * @param order tokens of the longest n-grams, at least 1
   * @throws IllegalArgumentException if the order is less than 1
   * @throws ArithmeticException if the text has more tokens than an array has places
   */
  public static KneserNey of(Corpus corpus, int order) {
    return of(corpus.training(), corpus.vocabulary().size(), order);
  }

  static KneserNey of(Tokens training, int vocabulary, int order) {
    if (order < 1) {
      throw new IllegalArgumentException("order: expected at least 1, got " + order);
    }
    Ngrams[] levels = Ngrams.count(training, vocabulary, order);
    return new KneserNey(Arrays.stream(levels).map(Order::of).toArray(Order[]::new), vocabulary);
  }

  /** The n-grams of one length and what is taken from their counts. */
  @SuppressWarnings("ArrayRecordComponent")
  private record Order(Ngrams ngrams, double[] discounts, int[] totals, double[] reserved) {
    /** Sums the counts of each context, and what is taken from them for words not seen there. */
    static Order of(Ngrams ngrams) {
      double[] discounts = estimate(ngrams);
      int[] totals = new int[ngrams.contexts()];
      double[] reserved = new double[ngrams.contexts()];
      for (int context = 0; context < totals.length; context++) {
        for (int i = ngrams.first(context); i < ngrams.first(context + 1); i++) {
          totals[context] += ngrams.count(i);
          reserved[context] += discounts[Math.min(3, ngrams.count(i))];
        }
      }
      return new Order(ngrams, discounts, totals, reserved);
    }

    /** The discounts of counts 0, 1, 2, and 3 or more (Chen and Goodman 1999, equation 17). */
    private static double[] estimate(Ngrams ngrams) {
      long[] n = new long[5];
      for (int i = 0; i < ngrams.size(); i++) {
        if (ngrams.count(i) < n.length) {
          n[ngrams.count(i)]++;
        }
      }
      double y = n[1] / (n[1] + 2.0 * n[2]);
      double[] discounts = new double[4];
      for (int c = 1; c < discounts.length; c++) {
        discounts[c] = c - (c + 1) * y * n[c + 1] / n[c];
        if (n[c] == 0 || n[c + 1] == 0 || !(discounts[c] > 0)) {
          return FALLBACK;
        }
      }
      return discounts;
    }

    double probability(int context, int word, double shorter) {
      if (totals[context] == 0) {
        return shorter;
      }
      int ngram = ngrams.find(context, word);
      int count = ngram < 0 ? 0 : ngrams.count(ngram);
      double kept = count - discounts[Math.min(3, count)];
      return (kept + reserved[context] * shorter) / totals[context];
    }
  }

  /** Tokens of the longest n-grams. */
  public int order() {
    return orders.length;
  }

  /**
   * How many different n-grams of so many tokens the training text has; of one token, the entries
   * of the vocabulary.
   *
   * @param length 1 to {@link #order}
   */
  public long ngrams(int length) {
    return orders[length - 1].ngrams.size();
  }

  /**
   * The probability of a word.
   *
   * @param context the tokens before it in the text, the latest last; only those since the latest
   *     {@link Vocabulary#END} count, and none are as this one
   * @param word what follows
   * @throws IllegalArgumentException if an id is not in the vocabulary
   */
  public double probability(int[] context, int word) {
    Reader reader = new Reader();
    for (int token : context) {
      reader.next(checked(token));
    }
    return reader.probability(checked(word));
  }

  /**
   * The mean loss over a text, from the beginning of a sentence.
   *
   * @return loss and number of tokens, without balances
   * @throws IllegalArgumentException if the text is empty or an id is not in the vocabulary
   */
  public Evaluation evaluate(Tokens text) {
    if (text.size() == 0) {
      throw new IllegalArgumentException("text: expected at least 1 token, got 0");
    }
    Reader reader = new Reader();
    double loss = 0;
    for (long i = 0; i < text.size(); i++) {
      int token = checked(text.get(i));
      loss -= Math.log(reader.probability(token));
      reader.next(token);
    }
    return new Evaluation(loss / text.size(), text.size(), List.of());
  }

  private int checked(int id) {
    if (id < 0 || id >= vocabulary) {
      throw new IllegalArgumentException("id: expected 0 to " + (vocabulary - 1) + ", got " + id);
    }
    return id;
  }

  /** Goes through a text. */
  private final class Reader {
    /** By length, the n-gram that ends at the latest token, or -1; the one of no token is 0. */
    private final int[] contexts = new int[orders.length];

    Reader() {
      begin();
    }

    private void begin() {
      Arrays.fill(contexts, -1);
      contexts[0] = 0;
      if (contexts.length > 1) {
        contexts[1] = Vocabulary.END;
      }
    }

    double probability(int word) {
      double probability = 1.0 / vocabulary;
      // An n-gram that was not seen is part of no longer one.
      for (int i = 0; i < contexts.length && contexts[i] >= 0; i++) {
        probability = orders[i].probability(contexts[i], word, probability);
      }
      return probability;
    }

    void next(int token) {
      if (token == Vocabulary.END) {
        begin();
        return;
      }
      for (int i = contexts.length - 1; i > 0; i--) {
        int context = contexts[i - 1];
        contexts[i] = context < 0 ? -1 : orders[i - 1].ngrams.find(context, token);
      }
    }
  }
}
