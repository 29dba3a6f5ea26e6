package dev.topknot.runtime.cpu;

import dev.topknot.runtime.cpu.VectorTile.Stage;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * Element-wise functions over float arrays, in loops that HotSpot vectorises: branch-free
 * polynomials, no library transcendental. Each takes {@code count} elements of {@code x} from
 * {@code from} to {@code y} at {@code to}; {@code y} may be {@code x} at the same offset, but must
 * not overlap it otherwise. NaN gives NaN. A result depends on its element alone, and has the same
 * bits wherever Java runs. Best called for some hundred elements or more at a time. The functions
 * named slope multiply {@code y}, a gradient, by a derivative instead; there {@code x} and {@code
 * y} must not overlap.
 *
 * <p>Error bounds are the largest measured against double precision, rounded up; "ulp" is a unit in
 * the last place of the exact result. Where a bound is relative, it is so for normal results.
 */
public final class VectorMath {
  private static final Stage[] EXP =
      stages(new Stage[] {VectorMath::copy}, VectorTile.EXP, new Stage[] {VectorMath::take});
  private static final Stage[] SIGMOID =
      stages(new Stage[] {VectorMath::negate}, VectorTile.EXP, new Stage[] {VectorMath::logistic});
  private static final Stage[] SIGMOID_SLOPE = {VectorMath::sigmoidSlope};
  private static final Stage[] SILU = stages(SIGMOID, new Stage[] {VectorMath::timesArgument});
  private static final Stage[] SILU_SLOPE = stages(SIGMOID, new Stage[] {VectorMath::siluSlope});
  private static final Stage[] TANH = {VectorMath::tanh};
  private static final Stage[] TANH_SLOPE = {VectorMath::tanhSlope};
  private static final Stage[] SOFTPLUS =
      stages(
          new Stage[] {VectorMath::minusAbsolute},
          VectorTile.EXP,
          new Stage[] {VectorMath::softplus});
  private static final Stage[] BELL =
      stages(new Stage[] {VectorMath::halfSquare}, VectorTile.EXP, new Stage[] {VectorMath::bell});
  private static final Stage[] NORMAL_DENSITY =
      stages(BELL, new Stage[] {VectorMath::normalDensity});
  private static final Stage[] NORMAL_CDF =
      stages(BELL, new Stage[] {VectorMath::mills, VectorMath::normalCdf});
  private static final Stage[] GELU = stages(NORMAL_CDF, new Stage[] {VectorMath::timesArgument});
  private static final Stage[] GELU_SLOPE =
      stages(BELL, new Stage[] {VectorMath::mills, VectorMath::geluSlope});

  private static final Stage PRODUCT = VectorMath::product;

  private VectorMath() {}

  private static Stage[] stages(Stage[]... parts) {
    return Stream.of(parts).flatMap(Stream::of).toArray(Stage[]::new);
  }

  private static void each(float[] x, int from, float[] y, int to, int count, Stage[] stages) {
    each(x, from, y, to, count, stages, false);
  }

  private static void multiply(float[] x, int from, float[] y, int to, int count, Stage[] stages) {
    each(x, from, y, to, count, stages, true);
  }

  private static void each(
      float[] x, int from, float[] y, int to, int count, Stage[] stages, boolean multiply) {
    Objects.checkFromIndexSize(from, count, x.length);
    Objects.checkFromIndexSize(to, count, y.length);
    VectorTile tile = VectorTile.get();
    for (int done = 0; done < count; done += VectorTile.SIZE) {
      int part = Math.min(VectorTile.SIZE, count - done);
      System.arraycopy(x, from + done, tile.x, 0, part);
      for (Stage stage : stages) {
        stage.run(tile, part);
      }
      if (multiply) {
        System.arraycopy(y, to + done, tile.u, 0, part);
        PRODUCT.run(tile, part);
      }
      System.arraycopy(tile.y, 0, y, to + done, part);
    }
  }

  /** e^x. Error 1 ulp; 0 below -103.98, infinite above 88.72. */
  public static void exp(float[] x, int from, float[] y, int to, int count) {
    each(x, from, y, to, count, EXP);
  }

  /** ln x. Error 0.84 ulp, subnormal x included; negative x gives NaN, 0 minus infinity. */
  public static void log(float[] x, int from, float[] y, int to, int count) {
    each(x, from, y, to, count, VectorTile.LOG);
  }

  /** 1 / (1 + e^-x). Error 1.3e-7 relative; 0 below -88.72, where the exact value is subnormal. */
  public static void sigmoid(float[] x, int from, float[] y, int to, int count) {
    each(x, from, y, to, count, SIGMOID);
  }

  /**
   * Multiplies y by the derivative of the sigmoid, from its value s which {@code x} holds: s (1 -
   * s).
   */
  public static void sigmoidSlope(float[] x, int from, float[] y, int to, int count) {
    multiply(x, from, y, to, count, SIGMOID_SLOPE);
  }

  /** x sigmoid(x), the activation of SwiGLU. Error 1.7e-7 relative; 0 below -88.72. */
  public static void silu(float[] x, int from, float[] y, int to, int count) {
    each(x, from, y, to, count, SILU);
  }

  /**
   * Multiplies y by the derivative of {@link #silu} at x. Error of the derivative 2.1e-7 absolute.
   */
  public static void siluSlope(float[] x, int from, float[] y, int to, int count) {
    multiply(x, from, y, to, count, SILU_SLOPE);
  }

  /** The hyperbolic tangent. Error 2.5e-7 relative. */
  public static void tanh(float[] x, int from, float[] y, int to, int count) {
    each(x, from, y, to, count, TANH);
  }

  /**
   * Multiplies y by the derivative of the tangent, from its value t which {@code x} holds: 1 - t^2.
   */
  public static void tanhSlope(float[] x, int from, float[] y, int to, int count) {
    multiply(x, from, y, to, count, TANH_SLOPE);
  }

  /** ln(1 + e^x); its derivative is {@link #sigmoid}. Error 1.4e-7 relative. */
  public static void softplus(float[] x, int from, float[] y, int to, int count) {
    each(x, from, y, to, count, SOFTPLUS);
  }

  /** The density of the standard normal distribution. Error 1.9e-7 relative. */
  public static void normalDensity(float[] x, int from, float[] y, int to, int count) {
    each(x, from, y, to, count, NORMAL_DENSITY);
  }

  /**
   * The distribution function of the standard normal distribution, P(X &le; x). Error 3.6e-7
   * relative down to x = -12.9, where the result becomes subnormal.
   */
  public static void normalCdf(float[] x, int from, float[] y, int to, int count) {
    each(x, from, y, to, count, NORMAL_CDF);
  }

  /** x Phi(x), GELU in its exact form. Error 3.9e-7 relative. */
  public static void gelu(float[] x, int from, float[] y, int to, int count) {
    each(x, from, y, to, count, GELU);
  }

  /**
   * Multiplies y by the derivative of {@link #gelu} at x, Phi(x) + x density(x). Error of the
   * derivative 3.9e-7 of the sum of its terms' magnitudes.
   */
  public static void geluSlope(float[] x, int from, float[] y, int to, int count) {
    multiply(x, from, y, to, count, GELU_SLOPE);
  }

  private static void copy(VectorTile tile, int count) {
    System.arraycopy(tile.x, 0, tile.u, 0, count);
  }

  private static void take(VectorTile tile, int count) {
    System.arraycopy(tile.e, 0, tile.y, 0, count);
  }

  private static void product(VectorTile tile, int count) {
    float[] u = tile.u;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      y[i] = u[i] * y[i];
    }
  }

  private static void negate(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] u = tile.u;
    for (int i = 0; i < count; i++) {
      u[i] = -x[i];
    }
  }

  private static void minusAbsolute(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] u = tile.u;
    for (int i = 0; i < count; i++) {
      u[i] = -Math.abs(x[i]);
    }
  }

  private static void logistic(VectorTile tile, int count) {
    float[] e = tile.e;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      y[i] = 1f / (1f + e[i]);
    }
  }

  private static void sigmoidSlope(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      y[i] = x[i] * (1f - x[i]);
    }
  }

  /** y = x y, but -0 where x is minus infinity and y 0. */
  private static void timesArgument(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      y[i] = Math.max(x[i], -1000f) * y[i];
    }
  }

  private static void siluSlope(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] e = tile.e;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      // not infinity times 0
      float v = Math.max(-1000f, Math.min(1000f, x[i]));
      float rest = Math.min(e[i], Float.MAX_VALUE) * y[i]; // 1 - sigmoid(x)
      y[i] = y[i] * Math.fma(v, rest, 1f);
    }
  }

  // tanh x = x P(x^2) / Q(x^2), |x| <= 9: 2e-8 relative; both begin with 1
  private static final float TANH_END = 9.010742f; // where the quotient rounds to 1
  private static final float P1 = 0.13381025f;
  private static final float P2 = 0.003495587f;
  private static final float P3 = 2.0609064e-5f;
  private static final float P4 = 1.3354637e-8f;
  private static final float Q1 = 0.46714342f;
  private static final float Q2 = 0.025876978f;
  private static final float Q3 = 3.285633e-4f;
  private static final float Q4 = 7.776548e-7f;

  private static void tanh(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      float v = Math.max(-TANH_END, Math.min(TANH_END, x[i]));
      float g = v * v;
      float p = Math.fma(Math.fma(Math.fma(Math.fma(P4, g, P3), g, P2), g, P1), g, 1f);
      float q = Math.fma(Math.fma(Math.fma(Math.fma(Q4, g, Q3), g, Q2), g, Q1), g, 1f);
      y[i] = Math.max(-1f, Math.min(1f, v * p / q));
    }
  }

  private static void tanhSlope(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      y[i] = Math.fma(-x[i], x[i], 1f);
    }
  }

  // log(1 + e) = e (1 + e (S1 + ...)), 0 <= e <= 1: 6e-9 relative
  private static final float S1 = -0.49999928f;
  private static final float S2 = 0.333304f;
  private static final float S3 = -0.24957506f;
  private static final float S4 = 0.19690181f;
  private static final float S5 = -0.15341118f;
  private static final float S6 = 0.106574215f;
  private static final float S7 = -0.057444498f;
  private static final float S8 = 0.020091191f;
  private static final float S9 = -0.003294004f;

  /** y = max(x, 0) + log(1 + e). */
  private static void softplus(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] e = tile.e;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      float v = e[i];
      float q = Math.fma(Math.fma(Math.fma(Math.fma(S9, v, S8), v, S7), v, S6), v, S5);
      q = Math.fma(Math.fma(Math.fma(Math.fma(q, v, S4), v, S3), v, S2), v, S1);
      y[i] = Math.max(x[i], 0f) + Math.fma(q * v, v, v);
    }
  }

  private static final float INVERSE_SQRT_2_PI = 0.3989423f;

  /** Beyond it the density and the lower tail are 0 in float. */
  private static final float NORMAL_END = 14.5f;

  /** u = -x^2 / 2, and in y the part that rounding x^2 lost, much for a large x. */
  private static void halfSquare(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] u = tile.u;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      float t = Math.min(Math.abs(x[i]), NORMAL_END);
      float g = t * t;
      u[i] = -0.5f * g;
      y[i] = -0.5f * Math.fma(t, t, -g);
    }
  }

  /** e = exp(-x^2 / 2). */
  private static void bell(VectorTile tile, int count) {
    float[] e = tile.e;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      e[i] = Math.fma(e[i], y[i], e[i]);
    }
  }

  private static void normalDensity(VectorTile tile, int count) {
    float[] e = tile.e;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      y[i] = e[i] * INVERSE_SQRT_2_PI;
    }
  }

  // P(X > t) exp(t^2 / 2) (t + 4) = M0 + v (M1 + ...), v = (t - 4) / (t + 4), 0 <= t <= 14.5: 2e-8
  private static final float M0 = 0.75528514f;
  private static final float M1 = -0.6078966f;
  private static final float M2 = 0.38713664f;
  private static final float M3 = -0.18652283f;
  private static final float M4 = 0.060406256f;
  private static final float M5 = -0.007527664f;
  private static final float M6 = -0.0035216566f;
  private static final float M7 = 0.0015704692f;
  private static final float M8 = 1.9145114e-4f;
  private static final float M9 = -1.255346e-4f;

  /** u = P(X > t) exp(t^2 / 2) with t = |x|. */
  private static void mills(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] u = tile.u;
    for (int i = 0; i < count; i++) {
      float inverse = 1f / (Math.min(Math.abs(x[i]), NORMAL_END) + 4f);
      float v = Math.fma(-8f, inverse, 1f);
      float q = Math.fma(Math.fma(Math.fma(Math.fma(M9, v, M8), v, M7), v, M6), v, M5);
      q = Math.fma(Math.fma(Math.fma(Math.fma(q, v, M4), v, M3), v, M2), v, M1);
      u[i] = Math.fma(q, v, M0) * inverse;
    }
  }

  /** 1 for a positive x, else 0; something between for a subnormal x, where it does not matter. */
  private static float positive(float x) {
    return Math.min(1f, Math.max(0f, x * 0x1p126f));
  }

  private static void normalCdf(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] u = tile.u;
    float[] e = tile.e;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      float tail = e[i] * u[i];
      y[i] = Math.fma(positive(x[i]), Math.fma(-2f, tail, 1f), tail);
    }
  }

  private static void geluSlope(VectorTile tile, int count) {
    float[] x = tile.x;
    float[] u = tile.u;
    float[] e = tile.e;
    float[] y = tile.y;
    for (int i = 0; i < count; i++) {
      // left of 0: Phi - t density = e (u - t / sqrt(2 pi)); right of it 1 - that
      float t = Math.min(Math.abs(x[i]), NORMAL_END);
      float left = e[i] * Math.fma(-t, INVERSE_SQRT_2_PI, u[i]);
      y[i] = Math.fma(positive(x[i]), Math.fma(-2f, left, 1f), left);
    }
  }
}
