package dev.topknot.runtime.cpu;

/**
 * Element-wise functions over heap arrays, from {@code x[at...]} to {@code y[to...]}, which may be
 * the same. Only basic operations on result paths of {@link #exp}, {@link #sigmoid} and {@link
 * #tanh}, so that their bits are the same on every machine. NaN stays NaN.
 */
@SuppressWarnings("FloatingPointLiteralPrecision") // coefficients as fitted
public final class VectorMath {
  private static final float LOG2_E = 1.44269504f;
  private static final float LN2_HIGH = 0.693145751953125f;
  private static final float LN2_LOW = 1.42860677e-6f;

  /** Adding and subtracting it rounds to an integer. */
  private static final float ROUND = 0x1.8p23f;

  private static final double SQRT_HALF = Math.sqrt(0.5);
  private static final double DENSITY_AT_ZERO = 1 / Math.sqrt(2 * Math.PI);

  private VectorMath() {}

  /** e^x, within 2 ulp; 0 and infinity where it underflows and overflows. */
  public static void exp(float[] x, int at, float[] y, int to, int count) {
    for (int i = 0; i < count; i++) {
      y[to + i] = exp(x[at + i]);
    }
  }

  private static float exp(float x) {
    float clamped = Math.max(-104f, Math.min(89f, x));
    float n = Math.fma(clamped, LOG2_E, ROUND) - ROUND;
    float r = Math.fma(n, -LN2_LOW, Math.fma(n, -LN2_HIGH, clamped));
    float p = 1.989089e-4f;
    p = Math.fma(p, r, 1.3933648e-3f);
    p = Math.fma(p, r, 8.333311e-3f);
    p = Math.fma(p, r, 4.1666465e-2f);
    p = Math.fma(p, r, 1.6666667e-1f);
    p = Math.fma(p, r, 0.5f);
    p = Math.fma(p * r, r, r) + 1f;
    // Two factors, so that neither overflows where the product need not.
    int half = (int) n >> 1;
    int rest = (int) n - half;
    float first = Float.intBitsToFloat((half + 127) << 23);
    float second = Float.intBitsToFloat((rest + 127) << 23);
    return p * first * second;
  }

  /** 1 / (1 + e^−x), within 1e-6 relative. */
  public static void sigmoid(float[] x, int at, float[] y, int to, int count) {
    for (int i = 0; i < count; i++) {
      y[to + i] = 1f / (1f + exp(-x[at + i]));
    }
  }

  /** The hyperbolic tangent, within 1e-6 relative. */
  public static void tanh(float[] x, int at, float[] y, int to, int count) {
    for (int i = 0; i < count; i++) {
      y[to + i] = tanh(x[at + i]);
    }
  }

  private static float tanh(float x) {
    float a = Math.abs(x);
    float e = exp(-2f * a);
    float large = Math.copySign((1f - e) / (1f + e), x);
    float s = x * x;
    float p = 2.1869489e-2f;
    p = Math.fma(p, s, -5.3968254e-2f);
    p = Math.fma(p, s, 1.3333334e-1f);
    p = Math.fma(p, s, -3.3333334e-1f);
    float small = Math.fma(x * s, p, x);
    return a < 0.25f ? small : large;
  }

  /** ln(1 + e^x), within 1e-6 relative. */
  public static void softplus(float[] x, int at, float[] y, int to, int count) {
    for (int i = 0; i < count; i++) {
      double v = x[at + i];
      y[to + i] = (float) (Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))));
    }
  }

  /** The standard normal distribution function Φ(x), within 1e-6 relative, in the tails too. */
  public static void normalCdf(float[] x, int at, float[] y, int to, int count) {
    for (int i = 0; i < count; i++) {
      y[to + i] = (float) normalCdf(x[at + i]);
    }
  }

  /** The standard normal density, within 1e-6 relative. */
  public static void normalDensity(float[] x, int at, float[] y, int to, int count) {
    for (int i = 0; i < count; i++) {
      double v = x[at + i];
      y[to + i] = (float) (DENSITY_AT_ZERO * Math.exp(-0.5 * v * v));
    }
  }

  /** x·Φ(x). */
  public static void gelu(float[] x, int at, float[] y, int to, int count) {
    for (int i = 0; i < count; i++) {
      double v = x[at + i];
      y[to + i] = (float) (v * normalCdf(v));
    }
  }

  /** Multiplies {@code y} by the derivative of {@link #gelu} at {@code x}: Φ(x) + x·φ(x). */
  public static void geluSlope(float[] x, int at, float[] y, int to, int count) {
    for (int i = 0; i < count; i++) {
      double v = x[at + i];
      y[to + i] *= (float) (normalCdf(v) + v * DENSITY_AT_ZERO * Math.exp(-0.5 * v * v));
    }
  }

  /**
   * Φ(x) = erfc(−x / √2) / 2, with erfc(a) = t·exp(−a² + P(t)), t = 1 / (1 + a / 2), for a &gt;= 0
   * (a Chebyshev fit, 1.2e-7 relative everywhere).
   */
  private static double normalCdf(double x) {
    double a = Math.abs(x) * SQRT_HALF;
    double t = 1 / (1 + 0.5 * a);
    double p = 0.17087277;
    p = p * t - 0.82215223;
    p = p * t + 1.48851587;
    p = p * t - 1.13520398;
    p = p * t + 0.27886807;
    p = p * t - 0.18628806;
    p = p * t + 0.09678418;
    p = p * t + 0.37409196;
    p = p * t + 1.00002368;
    p = p * t - 1.26551223;
    double half = 0.5 * t * Math.exp(p - a * a);
    return x > 0 ? 1 - half : half;
  }
}
