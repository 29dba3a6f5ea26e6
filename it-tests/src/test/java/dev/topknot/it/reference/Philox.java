package dev.topknot.it.reference;

import java.math.BigInteger;

/**
 * Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011), written
 * plainly from the paper so that it shares nothing with what it checks.
 */
public final class Philox {
  private static final BigInteger WORD = BigInteger.ONE.shiftLeft(32);
  private static final BigInteger[] MULTIPLIER = {
    BigInteger.valueOf(0xD2511F53L), BigInteger.valueOf(0xCD9E8D57L)
  };
  private static final BigInteger[] WEYL = {
    BigInteger.valueOf(0x9E3779B9L), BigInteger.valueOf(0xBB67AE85L)
  };

  private Philox() {}

  /**
   * Ten rounds.
   *
   * @param counter four unsigned words
   * @param key two unsigned words
   * @return four unsigned words
   */
  public static int[] words(int[] counter, int[] key) {
    BigInteger[] c = unsigned(counter);
    BigInteger[] k = unsigned(key);
    for (int round = 0; round < 10; round++) {
      BigInteger[] p0 = MULTIPLIER[0].multiply(c[0]).divideAndRemainder(WORD);
      BigInteger[] p1 = MULTIPLIER[1].multiply(c[2]).divideAndRemainder(WORD);
      c = new BigInteger[] {p1[0].xor(c[1]).xor(k[0]), p1[1], p0[0].xor(c[3]).xor(k[1]), p0[1]};
      k[0] = k[0].add(WEYL[0]).mod(WORD);
      k[1] = k[1].add(WEYL[1]).mod(WORD);
    }
    return new int[] {c[0].intValue(), c[1].intValue(), c[2].intValue(), c[3].intValue()};
  }

  private static BigInteger[] unsigned(int[] words) {
    BigInteger[] result = new BigInteger[words.length];
    for (int i = 0; i < words.length; i++) {
      result[i] = BigInteger.valueOf(Integer.toUnsignedLong(words[i]));
    }
    return result;
  }
}
