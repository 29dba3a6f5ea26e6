package dev.topknot.runtime.cpu;

import static dev.topknot.runtime.cpu.Fixture.assertNear;
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
import static dev.topknot.runtime.cpu.Fixture.timesTransposed;
import static dev.topknot.runtime.cpu.Fixture.valid;

import dev.topknot.dsl.ActivationFunction;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class DenseTest {
  private static final int TOKENS = 7;
  private static final int VALID = 5;
  private static final int INPUTS = 4;
  private static final int UNITS = 6;

  private final Random random = new Random(4);
  private final Matrix x = valid(random(random, TOKENS, INPUTS, 1), VALID);
  private final Matrix weight = random(random, UNITS, INPUTS, 1);
  private final Matrix bias = random(random, 1, UNITS, 1);
  private final Matrix dy = valid(random(random, TOKENS, UNITS, 1), VALID);
  private final Matrix dx = poisoned(TOKENS, INPUTS);
  private final Matrix dWeight = poisoned(UNITS, INPUTS);
  private final Matrix dBias = poisoned(1, UNITS);

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "SWIGLU")
  void forwardAndBackwardFollowTheFormula(ActivationFunction function) {
    Dense dense = dense(2, function);
    Run run = run(TOKENS, VALID);
    Matrix z = poisoned(TOKENS, UNITS);
    // as planned: one buffer for z and y but for GELU
    Matrix y = function == ActivationFunction.GELU ? poisoned(TOKENS, UNITS) : z;
    dense.forward(run, x, weight, bias, z, y);
    double[] x1 = doubles(x);
    double[] weight1 = doubles(weight);
    double[] bias1 = doubles(bias);
    double[] dy1 = doubles(dy);
    assertRows(y(function, x1, weight1, bias1), y, VALID);
    dense.backward(run, x, weight, z, copy(dy), dx, dWeight, dBias);
    int size = VALID * UNITS;
    assertRows(gradient(p -> dot(y(function, p, weight1, bias1), dy1, size), x1), dx, VALID);
    assertNear(gradient(p -> dot(y(function, x1, p, bias1), dy1, size), weight1), dWeight);
    assertNear(gradient(p -> dot(y(function, x1, weight1, p), dy1, size), bias1), dBias);
  }

  @Test
  void outputsOfTheirOwnHoldTheSame() {
    Run run = run(TOKENS, VALID);
    Matrix shared = poisoned(TOKENS, UNITS);
    Matrix z = poisoned(TOKENS, UNITS);
    Matrix y = poisoned(TOKENS, UNITS);
    Dense dense = dense(1, ActivationFunction.TANH);
    dense.forward(run, x, weight, bias, shared, shared);
    dense.forward(run, x, weight, bias, z, y);
    assertSameBits(shared.rows(0, VALID), y.rows(0, VALID));
    assertSameBits(shared.rows(0, VALID), z.rows(0, VALID));
  }

  @Test
  void gradientsAddWhenAsked() {
    Run run = run(TOKENS, VALID);
    Matrix y = poisoned(TOKENS, UNITS);
    Dense dense = dense(2, ActivationFunction.SIGMOID);
    dense.forward(run, x, weight, bias, y, y);
    dense.backward(run, x, weight, y, copy(dy), dx, dWeight, dBias);
    double[] twice = doubles(dWeight);
    double[] twiceBias = doubles(dBias);
    for (int i = 0; i < twice.length; i++) {
      twice[i] *= 2;
    }
    for (int i = 0; i < twiceBias.length; i++) {
      twiceBias[i] *= 2;
    }
    run.add(true);
    dense.backward(run, x, weight, y, copy(dy), dx, dWeight, dBias);
    assertNear(twice, dWeight);
    assertNear(twiceBias, dBias);
  }

  private static Dense dense(int threads, ActivationFunction function) {
    return new Dense(context(threads), "project", TOKENS, INPUTS, UNITS, function);
  }

  private static double[] y(
      ActivationFunction function, double[] x, double[] weight, double[] bias) {
    double[] y = timesTransposed(x, weight, VALID, UNITS, INPUTS);
    for (int i = 0; i < y.length; i++) {
      y[i] = Functions.apply(function, y[i] + bias[i % UNITS]);
    }
    return Arrays.copyOf(y, TOKENS * UNITS);
  }
}
