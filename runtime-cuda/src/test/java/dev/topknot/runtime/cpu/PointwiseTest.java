package dev.topknot.runtime.cpu;

import static dev.topknot.runtime.cpu.Fixture.FIRST_TOKEN;
import static dev.topknot.runtime.cpu.Fixture.SEED;
import static dev.topknot.runtime.cpu.Fixture.STEP;
import static dev.topknot.runtime.cpu.Fixture.assertRows;
import static dev.topknot.runtime.cpu.Fixture.assertSameBits;
import static dev.topknot.runtime.cpu.Fixture.context;
import static dev.topknot.runtime.cpu.Fixture.copy;
import static dev.topknot.runtime.cpu.Fixture.dot;
import static dev.topknot.runtime.cpu.Fixture.doubles;
import static dev.topknot.runtime.cpu.Fixture.gradient;
import static dev.topknot.runtime.cpu.Fixture.poisoned;
import static dev.topknot.runtime.cpu.Fixture.random;
import static dev.topknot.runtime.cpu.Fixture.run;
import static dev.topknot.runtime.cpu.Fixture.valid;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.program.Layout;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class PointwiseTest {
  private static final int TOKENS = 40;
  private static final int VALID = 33;
  private static final int WIDTH = 13;
  private static final int LAYER = 2;

  private final Random random = new Random(6);
  private final Matrix u = valid(random(random, TOKENS, WIDTH, 1), VALID);
  private final Matrix x = valid(random(random, TOKENS, WIDTH, 1), VALID);
  private final Matrix dy = valid(random(random, TOKENS, WIDTH, 1), VALID);
  private final Matrix y = poisoned(TOKENS, WIDTH);
  private final Matrix du = poisoned(TOKENS, WIDTH);

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "SWIGLU")
  void activationDropoutResidualInThisOrder(ActivationFunction function) {
    Pointwise pointwise = pointwise(2, function, 0.25, true);
    Run run = run(TOKENS, VALID);
    pointwise.forward(run, u, x, y);
    double[] x1 = doubles(x);
    double[] dy1 = doubles(dy);
    double[] mask = mask(0.25);
    assertRows(y(function, mask, doubles(u), x1), y, VALID);
    pointwise.backward(run, u, dy, du);
    double[] expected =
        gradient(p -> dot(y(function, mask, p, x1), dy1, VALID * WIDTH), doubles(u));
    assertRows(expected, du, VALID);
  }

  @Test
  void withoutResidualTheInputIsNotRead() {
    Pointwise pointwise = pointwise(1, ActivationFunction.TANH, 0, false);
    pointwise.forward(run(TOKENS, VALID), u, poisoned(TOKENS, WIDTH), y);
    double[] expected = doubles(u);
    for (int i = 0; i < expected.length; i++) {
      expected[i] = Math.tanh(expected[i]);
    }
    assertRows(expected, y, VALID);
  }

  @Test
  void nothingIsDroppedOutsideTraining() {
    Pointwise pointwise = pointwise(1, ActivationFunction.IDENTITY, 0.5, false);
    Run run = run(TOKENS, VALID);
    run.infer(VALID);
    pointwise.forward(run, u, x, y);
    assertSameBits(u.rows(0, VALID), y.rows(0, VALID));
  }

  @Test
  void optionsOverrideTheAnnotatedRate() {
    CpuContext context =
        context(1, Options.defaults().withDropout("above", 0), Layout.of("Test", List.of()));
    new Pointwise(context, "above", TOKENS, WIDTH, ActivationFunction.IDENTITY, 0.5, false, LAYER)
        .forward(run(TOKENS, VALID), u, x, y);
    assertSameBits(u.rows(0, VALID), y.rows(0, VALID));
  }

  @Test
  void aboutTheRateIsDropped() {
    int width = 1000;
    Matrix ones = poisoned(TOKENS, width);
    ones.fill(1);
    Matrix kept = poisoned(TOKENS, width);
    new Pointwise(
            context(2), "above", TOKENS, width, ActivationFunction.IDENTITY, 0.1, false, LAYER)
        .forward(run(TOKENS, TOKENS), ones, ones, kept);
    int dropped = 0;
    for (double value : doubles(kept)) {
      if (value == 0) {
        dropped++;
      } else {
        assertThat(value).isCloseTo(1 / 0.9, within(1e-6));
      }
    }
    // five standard deviations of a binomial distribution
    assertThat(dropped).isCloseTo(4000, within(300));
  }

  @Test
  void theResidualGradientIsAdded() {
    Matrix dx = valid(random(random, TOKENS, WIDTH, 1), VALID);
    double[] expected = doubles(dx);
    double[] dy1 = doubles(dy);
    for (int i = 0; i < expected.length; i++) {
      expected[i] += dy1[i];
    }
    pointwise(2, ActivationFunction.IDENTITY, 0, true).addResidual(run(TOKENS, VALID), dy, dx);
    assertRows(expected, dx, VALID);
  }

  @Test
  void gradientsMayBeComputedInPlace() {
    Pointwise pointwise = pointwise(2, ActivationFunction.GELU, 0.25, true);
    pointwise.backward(run(TOKENS, VALID), u, dy, du);
    Matrix inPlace = copy(dy);
    pointwise.backward(run(TOKENS, VALID), u, inPlace, inPlace);
    assertSameBits(du.rows(0, VALID), inPlace.rows(0, VALID));
  }

  private static Pointwise pointwise(
      int threads, ActivationFunction function, double dropout, boolean residual) {
    return new Pointwise(
        context(threads), "above", TOKENS, WIDTH, function, dropout, residual, LAYER);
  }

  /** What each element is multiplied by. */
  private static double[] mask(double rate) {
    double[] mask = new double[TOKENS * WIDTH];
    float[] uniforms = new float[WIDTH];
    int stream = Noise.stream(LAYER, Noise.Purpose.DROPOUT, 0);
    for (int token = 0; token < TOKENS; token++) {
      Noise.uniforms(SEED, STEP, FIRST_TOKEN + token, stream, uniforms, 0, WIDTH);
      for (int j = 0; j < WIDTH; j++) {
        mask[token * WIDTH + j] = uniforms[j] < rate ? 0 : 1 / (1 - rate);
      }
    }
    return mask;
  }

  private static double[] y(ActivationFunction function, double[] mask, double[] u, double[] x) {
    double[] y = new double[u.length];
    for (int i = 0; i < y.length; i++) {
      y[i] = Functions.apply(function, u[i]) * mask[i] + x[i];
    }
    return y;
  }
}
