package dev.topknot.runtime.cpu;

/**
 * The counter-based generator Philox4x32-10 of Salmon et al., "Parallel Random Numbers: As Easy as
 * 1, 2, 3" (SC 2011): a pure function from a counter and a key to four 32-bit words, so that any
 * draw can be made anywhere without what came before it.
 */
public final class Philox {
  private static final int ROUNDS = 10;
  private static final long MULTIPLIER_0 = 0xD2511F53L;
  private static final long MULTIPLIER_1 = 0xCD9E8D57L;
  private static final int WEYL_0 = 0x9E3779B9;
  private static final int WEYL_1 = 0xBB67AE85;
  private static final long UNSIGNED = 0xFFFFFFFFL;

  private Philox() {}

  /**
   * The four words of a counter.
   *
   * @param c0 first word of the counter
   * @param c1 second word
   * @param c2 third word
   * @param c3 fourth word
   * @param key the key: its low half is the first key word, its high half the second
   * @param out4 receives the words, [4]
   */
  public static void generate(int c0, int c1, int c2, int c3, long key, int[] out4) {
    int k0 = (int) key;
    int k1 = (int) (key >>> 32);
    for (int round = 0; round < ROUNDS; round++) {
      long p0 = MULTIPLIER_0 * (c0 & UNSIGNED);
      long p1 = MULTIPLIER_1 * (c2 & UNSIGNED);
      c0 = (int) (p1 >>> 32) ^ c1 ^ k0;
      c1 = (int) p1;
      c2 = (int) (p0 >>> 32) ^ c3 ^ k1;
      c3 = (int) p0;
      k0 += WEYL_0;
      k1 += WEYL_1;
    }
    out4[0] = c0;
    out4[1] = c1;
    out4[2] = c2;
    out4[3] = c3;
  }
}
