package dev.topknot.runtime.cpu;

/**
 * Ids 0 to size − 1 of probability P(id) = ln((id + 2) / (id + 1)) / ln(size + 1), about that of
 * words sorted by falling frequency: what candidates of a sampled softmax are drawn from.
 *
 * <p><b>To the bit.</b> Every backend must draw the same ids, so the law is a table of integers,
 * which integer arithmetic alone makes: of the 2^32 values of a random word, those from entry id to
 * below entry id + 1 give id. The logarithms have 27 binary places.
 */
public final class LogUniform {
  private static final int PLACES = 27;
  private static final long UNSIGNED = 0xFFFFFFFFL;

  /** The first word of each id, unsigned. */
  private final int[] firstWord;

  private final int[] words = new int[4];

  /**
   * The law for so many ids.
   *
   * @throws IllegalArgumentException if there are fewer than 2, or more than 2^24
   */
  public LogUniform(int size) {
    if (size < 2 || size > 1 << 24) {
      throw new IllegalArgumentException("expected 2 to 2^24 ids, got " + size);
    }
    firstWord = new int[size];
    long all = logarithm(size + 1);
    for (int id = 0; id < size; id++) {
      firstWord[id] = (int) Long.divideUnsigned(logarithm(id + 1) << 32, all);
    }
  }

  /** The binary logarithm of a positive integer below 2^25, times 2^27, rounded down. */
  private static long logarithm(int x) {
    int whole = 31 - Integer.numberOfLeadingZeros(x);
    long result = whole;
    long mantissa = (long) x << (31 - whole); // in [1, 2), with 31 binary places
    for (int i = 0; i < PLACES; i++) {
      mantissa = (mantissa * mantissa) >>> 31;
      long bit = mantissa >>> 32;
      mantissa >>>= bit;
      result = (result << 1) | bit;
    }
    return result;
  }

  /** The number of ids. */
  public int size() {
    return firstWord.length;
  }

  /** The id that a random word gives. */
  public int of(int word) {
    int low = 0;
    int high = firstWord.length;
    while (high - low > 1) {
      int middle = (low + high) >>> 1;
      if (Integer.compareUnsigned(firstWord[middle], word) <= 0) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** The probability that {@link #of} a random word is this id: exact, and never 0. */
  public double probability(int id) {
    int next = id + 1 < firstWord.length ? firstWord[id + 1] : 0; // 2^32
    return ((next - firstWord[id]) & UNSIGNED) * 0x1p-32;
  }

  /**
   * Draws as many ids as {@code out} has room for, with replacement.
   *
   * @param seed the key
   * @param step the training step
   * @param token the global number of the batch's first token, which tells the batches of a step
   *     apart
   * @param stream from {@link Noise#stream}
   */
  public void draw(long seed, int step, int token, int stream, int[] out) {
    for (int i = 0; i < out.length; i++) {
      if (i % 4 == 0) {
        Philox.generate(step, token, i / 4, stream, seed, words);
      }
      out[i] = of(words[i % 4]);
    }
  }
}
