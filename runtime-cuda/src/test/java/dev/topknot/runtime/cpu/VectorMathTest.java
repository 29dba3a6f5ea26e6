package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;

class VectorMathTest {
  private static final float INFINITY = Float.POSITIVE_INFINITY;

  private static double unit(double x) {
    return 1;
  }

  private interface Function {
    void apply(float[] x, int from, float[] y, int to, int count);
  }

  /** The largest |y - exact| / scale over floats of all magnitudes between the ends. */
  private static double error(
      Function function,
      DoubleUnaryOperator exact,
      DoubleUnaryOperator scale,
      float least,
      float greatest) {
    Random random = new Random(9);
    int count = 200_000;
    float[] x = new float[count];
    float[] y = new float[count];
    for (int i = 0; i < count; i++) {
      if (i % 2 == 0) {
        x[i] = least + (greatest - least) * random.nextFloat();
      } else { // small ones of all magnitudes
        float end = random.nextBoolean() ? greatest : least;
        x[i] = (float) (end * Math.exp(-80 * random.nextDouble()));
        x[i] = Math.max(least, Math.min(greatest, x[i]));
      }
    }
    x[0] = least;
    x[1] = greatest;
    Arrays.fill(y, 1); // what the slopes multiply
    function.apply(x, 0, y, 0, count);
    double worst = 0;
    for (int i = 0; i < count; i++) {
      double error = Math.abs(y[i] - exact.applyAsDouble(x[i])) / scale.applyAsDouble(x[i]);
      worst = Math.max(worst, error); // NaN stays
    }
    return worst;
  }

  private static double relative(
      Function function, DoubleUnaryOperator exact, float least, float greatest) {
    return error(function, exact, x -> Math.abs(exact.applyAsDouble(x)), least, greatest);
  }

  private static double ulps(
      Function function, DoubleUnaryOperator exact, float least, float greatest) {
    return error(function, exact, x -> Math.ulp((float) exact.applyAsDouble(x)), least, greatest);
  }

  private static float one(Function function, float x) {
    float[] y = {1};
    function.apply(new float[] {x}, 0, y, 0, 1);
    return y[0];
  }

  private static double sigma(double x) {
    return 1 / (1 + Math.exp(-x));
  }

  @Test
  void exp() {
    assertThat(ulps(VectorMath::exp, Math::exp, -87.33f, 88.72f)).isLessThan(1);
    assertThat(ulps(VectorMath::exp, Math::exp, -103.5f, -87.34f)).isLessThan(1);
    assertThat(one(VectorMath::exp, 0)).isEqualTo(1);
    assertThat(one(VectorMath::exp, 88.73f)).isEqualTo(INFINITY);
    assertThat(one(VectorMath::exp, INFINITY)).isEqualTo(INFINITY);
    assertThat(one(VectorMath::exp, -104)).isZero();
    assertThat(one(VectorMath::exp, -INFINITY)).isZero();
    assertThat(one(VectorMath::exp, Float.NaN)).isNaN();
  }

  @Test
  void log() {
    assertThat(ulps(VectorMath::log, Math::log, Float.MIN_NORMAL, Float.MAX_VALUE))
        .isLessThan(0.84);
    assertThat(ulps(VectorMath::log, Math::log, 0.5f, 2)).isLessThan(0.84);
    assertThat(ulps(VectorMath::log, Math::log, Float.MIN_VALUE, 1e-38f)).isLessThan(0.84);
    assertThat(one(VectorMath::log, 1)).isZero();
    assertThat(one(VectorMath::log, 0)).isEqualTo(-INFINITY);
    assertThat(one(VectorMath::log, -0f)).isEqualTo(-INFINITY);
    assertThat(one(VectorMath::log, INFINITY)).isEqualTo(INFINITY);
    assertThat(one(VectorMath::log, -1)).isNaN();
    assertThat(one(VectorMath::log, -1e-40f)).isNaN();
    assertThat(one(VectorMath::log, -INFINITY)).isNaN();
    assertThat(one(VectorMath::log, Float.NaN)).isNaN();
  }

  @Test
  void sigmoid() {
    assertThat(relative(VectorMath::sigmoid, VectorMathTest::sigma, -87, 100)).isLessThan(1.3e-7);
    assertThat(one(VectorMath::sigmoid, 0)).isEqualTo(0.5f);
    assertThat(one(VectorMath::sigmoid, INFINITY)).isEqualTo(1);
    assertThat(one(VectorMath::sigmoid, -INFINITY)).isZero();
    assertThat(one(VectorMath::sigmoid, Float.NaN)).isNaN();
    assertThat(one(VectorMath::sigmoidSlope, 0.25f)).isEqualTo(0.1875f);
    assertThat(one(VectorMath::sigmoidSlope, Float.NaN)).isNaN();
  }

  @Test
  void silu() {
    assertThat(relative(VectorMath::silu, x -> x * sigma(x), -82, 100)).isLessThan(1.7e-7);
    assertThat(one(VectorMath::silu, INFINITY)).isEqualTo(INFINITY);
    assertThat(one(VectorMath::silu, -INFINITY)).isZero();
    assertThat(one(VectorMath::silu, Float.NaN)).isNaN();
    DoubleUnaryOperator slope = x -> sigma(x) * (1 + x * (1 - sigma(x)));
    assertThat(error(VectorMath::siluSlope, slope, VectorMathTest::unit, -87, 100))
        .isLessThan(2.1e-7);
    assertThat(one(VectorMath::siluSlope, INFINITY)).isEqualTo(1);
    assertThat(one(VectorMath::siluSlope, -INFINITY)).isZero();
    assertThat(one(VectorMath::siluSlope, Float.NaN)).isNaN();
  }

  @Test
  void tanh() {
    assertThat(relative(VectorMath::tanh, Math::tanh, -20, 20)).isLessThan(2.5e-7);
    assertThat(one(VectorMath::tanh, INFINITY)).isEqualTo(1);
    assertThat(one(VectorMath::tanh, -INFINITY)).isEqualTo(-1);
    assertThat(one(VectorMath::tanh, Float.NaN)).isNaN();
    assertThat(Float.floatToRawIntBits(one(VectorMath::tanh, -0f))).isEqualTo(Integer.MIN_VALUE);
    assertThat(one(VectorMath::tanhSlope, 0.5f)).isEqualTo(0.75f);
    assertThat(one(VectorMath::tanhSlope, Float.NaN)).isNaN();
  }

  @Test
  void softplus() {
    DoubleUnaryOperator exact = x -> Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
    assertThat(relative(VectorMath::softplus, exact, -87, 100)).isLessThan(1.4e-7);
    assertThat(one(VectorMath::softplus, INFINITY)).isEqualTo(INFINITY);
    assertThat(one(VectorMath::softplus, -INFINITY)).isZero();
    assertThat(one(VectorMath::softplus, Float.NaN)).isNaN();
  }

  @Test
  void normal() {
    assertThat(relative(VectorMath::normalCdf, Normal::cdf, -12.9f, 20)).isLessThan(3.6e-7);
    assertThat(relative(VectorMath::normalDensity, Normal::density, -13.1f, 13.1f))
        .isLessThan(1.9e-7);
    assertThat(one(VectorMath::normalCdf, 0)).isEqualTo(0.5f);
    assertThat(one(VectorMath::normalCdf, INFINITY)).isEqualTo(1);
    assertThat(one(VectorMath::normalCdf, -INFINITY)).isZero();
    assertThat(one(VectorMath::normalCdf, -14.3f)).isZero();
    assertThat(one(VectorMath::normalCdf, -13.5f)).isBetween(7.1e-42f, 8.2e-42f);
    assertThat(one(VectorMath::normalCdf, Float.NaN)).isNaN();
    assertThat(one(VectorMath::normalDensity, -INFINITY)).isZero();
    assertThat(one(VectorMath::normalDensity, Float.NaN)).isNaN();
  }

  @Test
  void gelu() {
    DoubleUnaryOperator exact = x -> x * Normal.cdf(x);
    assertThat(relative(VectorMath::gelu, exact, -12.9f, 100)).isLessThan(3.9e-7);
    assertThat(one(VectorMath::gelu, INFINITY)).isEqualTo(INFINITY);
    assertThat(one(VectorMath::gelu, -INFINITY)).isZero();
    assertThat(one(VectorMath::gelu, Float.NaN)).isNaN();
    assertThat(
            error(
                VectorMath::geluSlope,
                x -> Normal.cdf(x) + x * Normal.density(x),
                x -> Normal.cdf(x) + Math.abs(x) * Normal.density(x),
                -12.9f,
                100))
        .isLessThan(3.9e-7);
    assertThat(one(VectorMath::geluSlope, INFINITY)).isEqualTo(1);
    assertThat(one(VectorMath::geluSlope, -INFINITY)).isZero();
    assertThat(one(VectorMath::geluSlope, Float.NaN)).isNaN();
  }

  @Test
  void slopesMultiply() {
    float[] x = {0.5f, 0.5f, 0.25f, 0.25f};
    float[] y = {3, 4, -2, 5};
    VectorMath.tanhSlope(x, 1, y, 1, 2);
    assertThat(y).containsExactly(3, 3, -1.875f, 5);
    VectorMath.geluSlope(new float[2], 0, y, 1, 2);
    assertThat(y).containsExactly(3, 1.5f, -0.9375f, 5);
  }

  /** Whatever the offsets, the count and the array, an element's result is its own. */
  @Test
  void elementsAreIndependent() {
    Random random = new Random(4);
    float[] x = new float[3000];
    for (int i = 0; i < x.length; i++) {
      x[i] = (float) random.nextGaussian() * 4;
    }
    x[17] = Float.NaN;
    float[] alone = new float[x.length];
    float[] y = new float[x.length + 5];
    for (Function function :
        new Function[] {VectorMath::exp, VectorMath::log, VectorMath::gelu, VectorMath::softplus}) {
      for (int i = 0; i < x.length; i++) {
        function.apply(x, i, alone, i, 1);
      }
      y[4] = 77;
      y[2905] = 78;
      function.apply(x, 50, y, 5, 2900);
      for (int i = 0; i < 2900; i++) {
        assertThat(Float.floatToIntBits(y[5 + i])).isEqualTo(Float.floatToIntBits(alone[50 + i]));
      }
      assertThat(y[4]).isEqualTo(77);
      assertThat(y[2905]).isEqualTo(78);
      float[] inPlace = x.clone();
      function.apply(inPlace, 3, inPlace, 3, 2000);
      assertThat(inPlace[2]).isEqualTo(x[2]);
      assertThat(inPlace[2002]).isEqualTo(alone[2002]);
      assertThat(inPlace[2003]).isEqualTo(x[2003]);
    }
    assertThatThrownBy(() -> VectorMath.exp(x, 2999, y, 0, 2))
        .isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> VectorMath.exp(x, 0, y, 3004, 2))
        .isInstanceOf(IndexOutOfBoundsException.class);
  }
}
