package dev.topknot.runtime.cpu;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/**
 * One thread's scratch for {@link VectorMath}. HotSpot vectorises a loop when all its arrays are
 * read and written at the loop's own index, so values are worked on in tiles that begin at 0. It
 * does not vectorise a loop that reinterprets floats as ints; so that is done for a whole tile at
 * once, by copying through off-heap memory.
 *
 * <p>A function is a list of stages with one loop each, called through an interface: inlined into
 * one method, so many loops would exhaust what the compiler spends on a method.
 */
final class VectorTile {
  static final int SIZE = 1024;

  /** One loop over the first {@code count} elements of a tile. */
  interface Stage {
    void run(VectorTile tile, int count);
  }

  /** e = exp(u). */
  static final Stage[] EXP = {VectorTile::reduce, VectorTile::powers, VectorTile::scale};

  /** y = log(x), with the values of {@link Math#log} for 0, negative, infinite and NaN. */
  static final Stage[] LOG = {
    VectorTile::normalise, VectorTile::split, VectorTile::logOfParts, VectorTile::special
  };

  private static final ThreadLocal<VectorTile> TILES = ThreadLocal.withInitial(VectorTile::new);

  /** The argument. */
  final float[] x = new float[SIZE];

  /** The result. */
  final float[] y = new float[SIZE];

  /** The argument of {@link #EXP}, and what a function keeps from stage to stage. */
  final float[] u = new float[SIZE];

  /** The result of {@link #EXP}. */
  final float[] e = new float[SIZE];

  private final float[] p = new float[SIZE];
  private final float[] h = new float[SIZE];
  private final int[] bits = new int[SIZE];
  private final int[] exponents = new int[SIZE];
  private final FloatBuffer asFloats;
  private final IntBuffer asInts;

  private VectorTile() {
    ByteBuffer memory =
        ByteBuffer.allocateDirect(SIZE * Float.BYTES).order(ByteOrder.nativeOrder());
    asFloats = memory.asFloatBuffer();
    asInts = memory.asIntBuffer();
  }

  static VectorTile get() {
    return TILES.get();
  }

  /** 1.5 * 2^23: added to a small number it leaves the nearest integer in the lowest bits. */
  private static final float ROUNDER = 0x1.8p23f;

  private static final int ROUNDER_BITS = Float.floatToRawIntBits(ROUNDER);
  private static final int ONE_EXPONENT = 127;

  private static final float LOG2_E = 1.442695f;

  /** ln 2 in two parts; the first has 15 bits, so that n times it is exact. */
  private static final float LN2_HIGH = 0.69314575f;

  private static final float LN2_LOW = 1.4286068e-6f;

  // exp r = 1 + r + r^2 (E2 + r (E3 + ...)), |r| <= ln 2 / 2: 3.3e-9 relative
  private static final float E2 = 0.4999999f;
  private static final float E3 = 0.16666521f;
  private static final float E4 = 0.041668963f;
  private static final float E5 = 0.008368669f;
  private static final float E6 = 0.0013782458f;

  /**
   * u = n ln 2 + r. Leaves exp(r), doubled for odd n, in p, and floor(n / 2) + ROUNDER in h: 2^n is
   * out of range at both ends, but its root is not.
   */
  private void reduce(int count) {
    float[] u = this.u;
    float[] p = this.p;
    float[] h = this.h;
    for (int i = 0; i < count; i++) {
      float v = Math.max(-104f, Math.min(89f, u[i]));
      float n = Math.fma(v, LOG2_E, ROUNDER) - ROUNDER;
      float r = Math.fma(n, -LN2_LOW, Math.fma(n, -LN2_HIGH, v));
      float half = Math.fma(n, 0.5f, -0.25f) + ROUNDER;
      float odd = Math.fma(half - ROUNDER, -2f, n);
      float q = Math.fma(Math.fma(Math.fma(Math.fma(E6, r, E5), r, E4), r, E3), r, E2);
      float exp = Math.fma(q * r, r, r) + 1f;
      p[i] = Math.fma(exp, odd, exp);
      h[i] = half;
    }
  }

  /** h = 2^(h - ROUNDER). */
  private void powers(int count) {
    int[] bits = this.bits;
    asFloats.put(0, h, 0, count);
    asInts.get(0, bits, 0, count);
    for (int i = 0; i < count; i++) {
      bits[i] = (bits[i] - ROUNDER_BITS + ONE_EXPONENT) << 23;
    }
    asInts.put(0, bits, 0, count);
    asFloats.get(0, h, 0, count);
  }

  private void scale(int count) {
    float[] p = this.p;
    float[] h = this.h;
    float[] e = this.e;
    for (int i = 0; i < count; i++) {
      e[i] = p[i] * h[i] * h[i];
    }
  }

  private static final int SQRT_HALF_BITS = 0x3F3504F3;

  // log(1 + f) = f - f^2 / 2 + f^3 (L3 + f (L4 + ...)), sqrt(1/2) <= 1 + f < sqrt(2): 8e-9 relative
  private static final float L3 = 0.33333373f;
  private static final float L4 = -0.2500084f;
  private static final float L5 = 0.1999899f;
  private static final float L6 = -0.16621207f;
  private static final float L7 = 0.14238907f;
  private static final float L8 = -0.13212356f;
  private static final float L9 = 0.1256589f;
  private static final float L10 = -0.07286021f;

  /** Multiplies subnormal numbers by 2^24, and leaves what that adds to the exponent in y. */
  private void normalise(int count) {
    float[] x = this.x;
    float[] u = this.u;
    float[] y = this.y;
    for (int i = 0; i < count; i++) {
      float below = (Float.MIN_NORMAL - x[i]) * 0x1p126f * 0x1p30f;
      float subnormal = Math.min(1f, Math.max(0f, below));
      u[i] = x[i] * Math.fma(subnormal, 0x1.fffffep23f, 1f);
      y[i] = subnormal * -24f;
    }
  }

  /** Leaves the mantissa of u in [sqrt(1/2), sqrt(2)) in p, its exponent + ROUNDER in h. */
  private void split(int count) {
    int[] bits = this.bits;
    int[] exponents = this.exponents;
    asFloats.put(0, u, 0, count);
    asInts.get(0, bits, 0, count);
    for (int i = 0; i < count; i++) {
      int exponent = (bits[i] - SQRT_HALF_BITS) >> 23;
      bits[i] -= exponent << 23;
      exponents[i] = exponent + ROUNDER_BITS;
    }
    asInts.put(0, bits, 0, count);
    asFloats.get(0, p, 0, count);
    asInts.put(0, exponents, 0, count);
    asFloats.get(0, h, 0, count);
  }

  private void logOfParts(int count) {
    float[] p = this.p;
    float[] h = this.h;
    float[] y = this.y;
    for (int i = 0; i < count; i++) {
      float f = p[i] - 1f;
      float k = h[i] - ROUNDER + y[i];
      float q = Math.fma(Math.fma(Math.fma(L10, f, L9), f, L8), f, L7);
      q = Math.fma(Math.fma(Math.fma(Math.fma(q, f, L6), f, L5), f, L4), f, L3);
      float g = f * f;
      float tail = Math.fma(k, LN2_LOW, Math.fma(-0.5f, g, (f * g) * q));
      y[i] = Math.fma(k, LN2_HIGH, f + tail);
    }
  }

  /** Adds 0 for positive finite u, and what makes the right value of the others. */
  private void special(int count) {
    float[] u = this.u;
    float[] y = this.y;
    for (int i = 0; i < count; i++) {
      float infinite = Math.max(0f, u[i] - Float.MAX_VALUE);
      float zero = Math.max(0f, 1f / Math.abs(u[i]) - Float.MAX_VALUE);
      float negative = 0f * (float) Math.sqrt(Math.min(u[i], 1f));
      y[i] = y[i] + infinite - zero + negative;
    }
  }
}
