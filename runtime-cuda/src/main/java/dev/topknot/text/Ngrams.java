package dev.topknot.text;

import java.util.Arrays;
import java.util.BitSet;

/**
 * The n-grams of one length in a text, as one level of a trie in arrays: the n-grams that begin
 * with the same context lie beside each other, in the order of their last words.
 *
 * <p>An n-gram ends at a token and begins where its sentence does at the earliest: there, before
 * the first word, is the {@link Vocabulary#END} of the sentence before. Counts are what Kneser-Ney
 * smoothing asks for: how often an n-gram occurs if it is of the longest kind, or begins its
 * sentence so that nothing is before it; of all others, how many different tokens are before it.
 */
final class Ngrams {
  /** Where the n-grams of each context begin in {@link #words}, and where the last ones end. */
  private final int[] first;

  private final int[] words;
  private final int[] counts;

  private Ngrams(int[] first, int[] words) {
    this.first = first;
    this.words = words;
    this.counts = new int[words.length];
  }

  /**
   * Counts the n-grams of 1 to {@code order} tokens. The number of an n-gram is its place in its
   * level, and that of the context of the longer ones in the next.
   *
   * @param vocabulary number of ids
   */
  static Ngrams[] count(Tokens text, int vocabulary, int order) {
    int size = Math.toIntExact(text.size());
    Ngrams[] levels = new Ngrams[order];
    levels[0] = new Ngrams(new int[] {0, vocabulary}, range(vocabulary));
    // By token, the number of the n-gram that ends there; -1 where the sentence is too short.
    int[] ending = new int[size];
    for (int i = 0; i < size; i++) {
      ending[i] = text.get(i);
    }
    for (int level = 1; level < order; level++) {
      levels[level] = longer(levels[level - 1], text, ending, level);
    }
    for (int ngram : ending) {
      levels[order - 1].add(ngram);
    }
    return levels;
  }

  private static int[] range(int size) {
    int[] range = new int[size];
    Arrays.setAll(range, i -> i);
    return range;
  }

  /** The n-grams with one token more; counts the shorter ones, and moves on to where these end. */
  private static Ngrams longer(Ngrams shorter, Tokens text, int[] ending, int length) {
    Ngrams longer = distinct(shorter.size(), text, ending, length);
    BitSet seen = new BitSet(longer.size());
    for (int i = ending.length - 1; i >= 0; i--) {
      int context = context(text, ending, i, length);
      if (context < 0) {
        shorter.add(ending[i]);
        ending[i] = -1;
        continue;
      }
      int ngram = longer.find(context, text.get(i));
      if (!seen.get(ngram)) {
        seen.set(ngram);
        shorter.add(ending[i]);
      }
      ending[i] = ngram;
    }
    return longer;
  }

  private static Ngrams distinct(int contexts, Tokens text, int[] ending, int length) {
    long[] keys = new long[ending.length];
    int size = 0;
    for (int i = 0; i < ending.length; i++) {
      int context = context(text, ending, i, length);
      if (context >= 0) {
        keys[size++] = (long) context << Integer.SIZE | text.get(i);
      }
    }
    Arrays.sort(keys, 0, size);
    int different = 0;
    for (int i = 0; i < size; i++) {
      if (i == 0 || keys[i] != keys[i - 1]) {
        different++;
      }
    }
    int[] first = new int[contexts + 1];
    int[] words = new int[different];
    int next = 0;
    int begun = 0;
    for (int i = 0; i < size; i++) {
      if (i == 0 || keys[i] != keys[i - 1]) {
        int context = (int) (keys[i] >>> Integer.SIZE);
        while (begun <= context) {
          first[begun++] = next;
        }
        words[next++] = (int) keys[i];
      }
    }
    Arrays.fill(first, begun, first.length, next);
    return new Ngrams(first, words);
  }

  /** The n-gram of so many tokens before a token in its sentence, or -1. */
  private static int context(Tokens text, int[] ending, int token, int length) {
    if (length == 1) {
      return token == 0 ? Vocabulary.END : ending[token - 1];
    }
    return token == 0 || text.get(token - 1) == Vocabulary.END ? -1 : ending[token - 1];
  }

  private void add(int ngram) {
    if (ngram >= 0) {
      counts[ngram]++;
    }
  }

  /** Number of different n-grams. */
  int size() {
    return words.length;
  }

  /** Number of contexts, whether or not anything follows them. */
  int contexts() {
    return first.length - 1;
  }

  /** The number of the first n-gram with this context or one behind it. */
  int first(int context) {
    return first[context];
  }

  /** The number of a context followed by a word, or -1. */
  int find(int context, int word) {
    return Math.max(-1, Arrays.binarySearch(words, first[context], first[context + 1], word));
  }

  /** The count of an n-gram. */
  int count(int ngram) {
    return counts[ngram];
  }
}
