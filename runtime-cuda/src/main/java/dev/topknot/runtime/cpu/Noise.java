package dev.topknot.runtime.cpu;

import java.util.Objects;

/**
 * Random numbers that are a pure function of (seed, step, token, stream, index), so that they do
 * not depend on threads or on how tokens are batched: Philox4x32-10 with the seed as key and the
 * counter (step, global token, index / 4, stream).
 *
 * <p><b>To the bit.</b> Every backend must give the same floats. Besides the integer words only
 * these operations are used, each rounded to nearest even, nothing flushed to zero:
 *
 * <table>
 *   <caption>Operations and their CUDA forms</caption>
 *   <tr><th>here</th><th>CUDA</th></tr>
 *   <tr><td>{@code (float) (w & 0xFFFFFFFFL)}</td><td>{@code __uint2float_rn(w)}</td></tr>
 *   <tr><td>{@code (float) i}</td><td>{@code __int2float_rn(i)}</td></tr>
 *   <tr><td>{@code a + b}, {@code a - b}, {@code a * b}</td>
 *     <td>{@code __fadd_rn}, {@code __fsub_rn}, {@code __fmul_rn}</td></tr>
 *   <tr><td>{@code Math.fma}</td><td>{@code __fmaf_rn}</td></tr>
 *   <tr><td>{@code (float) Math.sqrt(x)}</td><td>{@code __fsqrt_rn}</td></tr>
 *   <tr><td>{@code floatToRawIntBits}, {@code intBitsToFloat}</td>
 *     <td>{@code __float_as_int}, {@code __int_as_float}</td></tr>
 *   <tr><td>{@code >>}, {@code >>>} on int</td><td>{@code >>} on int, on unsigned</td></tr>
 * </table>
 *
 * <p>An arithmetic expression below is evaluated as its parentheses say; a product is never
 * contracted into a sum except where {@code Math.fma} is written.
 */
public final class Noise {
  /** What the numbers of a stream are drawn for. */
  public enum Purpose {
    /** The noise of a gate's logits, [S17] eq. 4. */
    GATE,
    /** Dropout masks. */
    DROPOUT,
    /** Initial values of parameters. */
    INIT,
    /** Candidates of a sampled softmax, and the next word when text is generated. */
    SAMPLE
  }

  private static final int MAX_LAYER = 0xFFFF;
  private static final int MAX_GATE = 0x1FFF;

  private static final float TWO_TO_MINUS_23 = 0x1p-23f;
  private static final float TWO_TO_MINUS_24 = 0x1p-24f;
  private static final float TWO_TO_MINUS_32 = 0x1p-32f;
  private static final float TWO_TO_MINUS_33 = 0x1p-33f;

  // log(1 + f) = f - f^2 / 2 + f^3 (L3 + f (L4 + ...)), sqrt(1/2) <= 1 + f < sqrt(2): 8e-9 relative
  private static final float L3 = 0.33333373f;
  private static final float L4 = -0.2500084f;
  private static final float L5 = 0.1999899f;
  private static final float L6 = -0.16621207f;
  private static final float L7 = 0.14238907f;
  private static final float L8 = -0.13212356f;
  private static final float L9 = 0.1256589f;
  private static final float L10 = -0.07286021f;
  private static final int SQRT_HALF_BITS = 0x3F3504F3;

  /** ln 2 in two parts; the first has 15 bits, so that k times it is exact. */
  private static final float LN2_HIGH = 0.69314575f;

  private static final float LN2_LOW = 1.4286068e-6f;

  // sin(2 pi f) = f (S1 + g (S3 + ...)), cos(2 pi f) = 1 + g (C2 + ...), g = f^2, |f| <= 1/8
  private static final float S1 = 6.2831855f;
  private static final float S3 = -41.34176f;
  private static final float S5 = 81.604614f;
  private static final float S7 = -75.83747f;
  private static final float C2 = -19.739208f;
  private static final float C4 = 64.93918f;
  private static final float C6 = -85.4295f;
  private static final float C8 = 58.814777f;

  /** The four words of a counter, one set a thread, so that drawing allocates nothing. */
  private static final ThreadLocal<int[]> WORDS = ThreadLocal.withInitial(() -> new int[4]);

  private Noise() {}

  /**
   * The number of a stream; different arguments give different streams.
   *
   * @param layer the layer, 0 to 65535
   * @param purpose what for
   * @param gate which gate of the layer, 0 to 8191: 0 the primary or only one, i + 1 the secondary
   *     gate of group i; for other purposes any number that tells streams of a layer apart
   * @throws IllegalArgumentException if layer or gate is out of range
   */
  public static int stream(int layer, Purpose purpose, int gate) {
    if (layer < 0 || layer > MAX_LAYER || gate < 0 || gate > MAX_GATE) {
      throw new IllegalArgumentException(
          String.format(
              "expected a layer of 0 to %d and a gate of 0 to %d, got %d and %d",
              MAX_LAYER, MAX_GATE, layer, gate));
    }
    return layer << 16 | purposeNumber(purpose) << 13 | gate;
  }

  /** The purpose as the kernels know it; fixed, unlike an ordinal. */
  private static int purposeNumber(Purpose purpose) {
    return switch (purpose) {
      case GATE -> 0;
      case DROPOUT -> 1;
      case INIT -> 2;
      case SAMPLE -> 3;
    };
  }

  /**
   * Standard normal numbers of index 0 to {@code count - 1}, by Box and Muller: of the four words
   * of a counter the first two make numbers 0 and 1, the last two 2 and 3. They lie within +-6.8.
   *
   * @param seed the key
   * @param step the training step
   * @param token the global token
   * @param stream from {@link #stream}
   * @param out receives the numbers at {@code at}
   */
  public static void normals(
      long seed, int step, int token, int stream, float[] out, int at, int count) {
    Objects.checkFromIndexSize(at, count, out.length);
    int[] words = WORDS.get();
    int end = at + count;
    for (int i = at, block = 0; i < end; i += 4, block++) {
      Philox.generate(step, token, block, stream, seed, words);
      boxMuller(words[0], words[1], out, i, end);
      boxMuller(words[2], words[3], out, i + 2, end);
    }
  }

  /**
   * Of the numbers that {@link #normals} makes, number {@code index} and those that share its
   * counter, at their places in {@code out[0..count)}.
   */
  static void normalsAt(
      long seed, int step, int token, int stream, int index, float[] out, int count) {
    Objects.checkIndex(index, count);
    int[] words = WORDS.get();
    int first = index & -4;
    Philox.generate(step, token, first / 4, stream, seed, words);
    boxMuller(words[0], words[1], out, first, count);
    boxMuller(words[2], words[3], out, first + 2, count);
  }

  /**
   * Uniform numbers of index 0 to {@code count - 1}: odd multiples of 2^-24, each word's upper 23
   * bits and a half, so strictly between 0 and 1 and symmetric.
   *
   * @param seed the key
   * @param step the training step
   * @param token the global token
   * @param stream from {@link #stream}
   * @param out receives the numbers at {@code at}
   */
  public static void uniforms(
      long seed, int step, int token, int stream, float[] out, int at, int count) {
    Objects.checkFromIndexSize(at, count, out.length);
    int[] words = WORDS.get();
    int end = at + count;
    for (int i = at, block = 0; i < end; i += 4, block++) {
      Philox.generate(step, token, block, stream, seed, words);
      for (int word = 0; word < Math.min(4, end - i); word++) {
        out[i + word] = Math.fma((float) (words[word] >>> 9), TWO_TO_MINUS_23, TWO_TO_MINUS_24);
      }
    }
  }

  /** Writes two normal numbers to out[i] and out[i + 1], as far as they lie before end. */
  private static void boxMuller(int radiusWord, int angleWord, float[] out, int i, int end) {
    if (i >= end) {
      return;
    }
    // (0, 1]: the upper end gives a radius of 0
    float u = Math.fma((float) (radiusWord & 0xFFFFFFFFL), TWO_TO_MINUS_32, TWO_TO_MINUS_33);
    float radius = (float) Math.sqrt(-2f * log(u));
    // the angle in turns is quarter / 4 + f with |f| <= 1/8
    int quarter = (angleWord + 0x20000000) >>> 30;
    float f = (float) (angleWord - (quarter << 30)) * TWO_TO_MINUS_32;
    float g = f * f;
    float sin = f * Math.fma(g, Math.fma(g, Math.fma(g, S7, S5), S3), S1);
    float cos = Math.fma(g, Math.fma(g, Math.fma(g, Math.fma(g, C8, C6), C4), C2), 1f);
    float x = (quarter & 1) == 0 ? cos : sin;
    float y = (quarter & 1) == 0 ? sin : cos;
    out[i] = radius * (quarter == 1 || quarter == 2 ? -x : x);
    if (i + 1 < end) {
      out[i + 1] = radius * (quarter >= 2 ? -y : y);
    }
  }

  /** ln u for a normal u in (0, 1]. */
  private static float log(float u) {
    int bits = Float.floatToRawIntBits(u);
    int exponent = (bits - SQRT_HALF_BITS) >> 23;
    float f = Float.intBitsToFloat(bits - (exponent << 23)) - 1f;
    float k = (float) exponent;
    float p = L10;
    p = Math.fma(p, f, L9);
    p = Math.fma(p, f, L8);
    p = Math.fma(p, f, L7);
    p = Math.fma(p, f, L6);
    p = Math.fma(p, f, L5);
    p = Math.fma(p, f, L4);
    p = Math.fma(p, f, L3);
    float g = f * f;
    float tail = Math.fma(k, LN2_LOW, Math.fma(-0.5f, g, (f * g) * p));
    return Math.fma(k, LN2_HIGH, f + tail);
  }
}
