package dev.topknot.runtime.cpu;

import static dev.topknot.runtime.cpu.Fixture.assertNear;
import static dev.topknot.runtime.cpu.Fixture.assertRows;
import static dev.topknot.runtime.cpu.Fixture.assertSameBits;
import static dev.topknot.runtime.cpu.Fixture.context;
import static dev.topknot.runtime.cpu.Fixture.doubles;
import static dev.topknot.runtime.cpu.Fixture.gradient;
import static dev.topknot.runtime.cpu.Fixture.ints;
import static dev.topknot.runtime.cpu.Fixture.poisoned;
import static dev.topknot.runtime.cpu.Fixture.random;
import static dev.topknot.runtime.cpu.Fixture.randomIds;
import static dev.topknot.runtime.cpu.Fixture.run;
import static dev.topknot.runtime.cpu.Fixture.timesTransposed;
import static dev.topknot.runtime.cpu.Fixture.valid;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SoftmaxLossTest {
  private static final int TOKENS = 9;

  /** The operands of one loss. */
  private static final class Case {
    final int width;
    final int vocabulary;
    final int valid;
    final Matrix x;
    final Matrix weight;
    final Matrix bias;
    final int[] targets;
    final Matrix logits;
    final Matrix losses = poisoned(1, TOKENS);
    final Matrix dx;
    final Matrix dWeight;
    final Matrix dBias;

    Case(int width, int vocabulary, int valid) {
      Random random = new Random(vocabulary);
      this.width = width;
      this.vocabulary = vocabulary;
      this.valid = valid;
      x = valid(random(random, TOKENS, width, 1), valid);
      weight = random(random, vocabulary, width, 1);
      bias = random(random, 1, vocabulary, 1);
      targets = randomIds(random, TOKENS, vocabulary);
      logits = poisoned(TOKENS, vocabulary);
      dx = poisoned(TOKENS, width);
      dWeight = poisoned(vocabulary, width);
      dBias = poisoned(1, vocabulary);
    }

    SoftmaxLoss softmax(int threads) {
      return new SoftmaxLoss(context(threads), "next", TOKENS, width, vocabulary);
    }

    void forward(SoftmaxLoss softmax, Run run) {
      softmax.forward(run, x, weight, bias, ints(targets), logits, losses);
    }

    void backward(SoftmaxLoss softmax, Run run) {
      softmax.backward(run, x, weight, logits, ints(targets), dx, dWeight, dBias);
    }

    /** The negative log-likelihood of every valid token, from the formula. */
    double[] losses(double[] x, double[] weight, double[] bias) {
      double[] logits = timesTransposed(x, weight, valid, vocabulary, width);
      double[] losses = new double[TOKENS];
      for (int t = 0; t < valid; t++) {
        double sum = 0;
        for (int j = 0; j < vocabulary; j++) {
          sum += Math.exp(logits[t * vocabulary + j] + bias[j]);
        }
        losses[t] = Math.log(sum) - logits[t * vocabulary + targets[t]] - bias[targets[t]];
      }
      return losses;
    }

    double mean(double[] x, double[] weight, double[] bias) {
      double sum = 0;
      for (double loss : losses(x, weight, bias)) {
        sum += loss;
      }
      return sum / valid;
    }
  }

  @ParameterizedTest
  @CsvSource({"4, 11, 9", "4, 11, 5", "7, 300, 8", "3, 1, 9", "16, 40000, 2"})
  void theLossIsTheNegativeLogLikelihood(int width, int vocabulary, int valid) {
    Case a = new Case(width, vocabulary, valid);
    Run run = run(TOKENS, valid);
    a.forward(a.softmax(2), run);
    double[] expected = a.losses(doubles(a.x), doubles(a.weight), doubles(a.bias));
    double sum = 0;
    for (int t = 0; t < TOKENS; t++) {
      if (t < valid) {
        assertThat((double) a.losses.get(0, t)).isCloseTo(expected[t], within(2e-5));
        sum += expected[t];
      } else {
        assertThat(a.losses.get(0, t)).isNaN();
      }
    }
    assertThat(run.lossSum()).isCloseTo(sum, within(2e-5 * valid));
  }

  @ParameterizedTest
  @CsvSource({"4, 11, 9", "4, 11, 5", "7, 70, 8"})
  void backwardIsTheDerivativeOfTheMeanLoss(int width, int vocabulary, int valid) {
    Case a = new Case(width, vocabulary, valid);
    Run run = run(TOKENS, valid);
    SoftmaxLoss softmax = a.softmax(2);
    a.forward(softmax, run);
    a.backward(softmax, run);
    double[] x = doubles(a.x);
    double[] weight = doubles(a.weight);
    double[] bias = doubles(a.bias);
    assertRows(gradient(p -> a.mean(p, weight, bias), x), a.dx, valid);
    assertNear(gradient(p -> a.mean(x, p, bias), weight), a.dWeight);
    assertNear(gradient(p -> a.mean(x, weight, p), bias), a.dBias);
  }

  @Test
  void gradientsAddWhenAsked() {
    Case a = new Case(4, 11, 5);
    Run run = run(TOKENS, 5);
    SoftmaxLoss softmax = a.softmax(1);
    a.forward(softmax, run);
    a.backward(softmax, run);
    double[] twice = doubles(a.dWeight);
    double[] twiceBias = doubles(a.dBias);
    run.add(true);
    a.backward(softmax, run);
    for (int i = 0; i < twice.length; i++) {
      twice[i] *= 2;
    }
    for (int i = 0; i < twiceBias.length; i++) {
      twiceBias[i] *= 2;
    }
    assertNear(twice, a.dWeight);
    assertNear(twiceBias, a.dBias);
  }

  @ParameterizedTest
  @ValueSource(floats = {320, 375, 385, 390, 500})
  void logitsFarAboveTheTargetsAreExact(float largest) {
    Case a = new Case(4, 100, 9);
    a.bias.fill(300);
    a.bias.set(0, 7, largest);
    Run run = run(TOKENS, 9);
    SoftmaxLoss softmax = a.softmax(2);
    a.forward(softmax, run);
    a.backward(softmax, run);
    double[] x = doubles(a.x);
    double[] weight = doubles(a.weight);
    double[] bias = doubles(a.bias);
    double[] expected = a.losses(x, weight, bias);
    for (int t = 0; t < TOKENS; t++) {
      assertThat((double) a.losses.get(0, t)).isCloseTo(expected[t], within(1e-4));
    }
    assertNear(gradient(p -> a.mean(x, weight, p), bias), a.dBias);
  }

  @Test
  void aLogitThatIsNotFiniteShowsInTheLoss() {
    Case a = new Case(4, 100, 9);
    a.bias.set(0, 70, Float.NaN);
    Run run = run(TOKENS, 9);
    a.forward(a.softmax(2), run);
    assertThat(run.lossSum()).isNaN();
  }

  @Test
  void noTokensMeanNoLossAndNoGradient() {
    Case a = new Case(4, 11, 0);
    Run run = run(TOKENS, 0);
    SoftmaxLoss softmax = a.softmax(2);
    a.forward(softmax, run);
    a.backward(softmax, run);
    assertThat(run.lossSum()).isZero();
    assertNear(new double[11 * 4], a.dWeight);
    assertNear(new double[11], a.dBias);
  }

  @Test
  void probabilitiesAreTheSoftmax() {
    Case a = new Case(4, 300, 5);
    Run run = run(TOKENS, 5);
    run.infer(5);
    a.softmax(2).probabilities(run, a.x, a.weight, a.bias, a.logits);
    double[] logits = timesTransposed(doubles(a.x), doubles(a.weight), 5, a.vocabulary, a.width);
    double[] expected = new double[TOKENS * a.vocabulary];
    for (int t = 0; t < 5; t++) {
      double sum = 0;
      for (int j = 0; j < a.vocabulary; j++) {
        sum += Math.exp(logits[t * a.vocabulary + j] + a.bias.get(0, j));
      }
      for (int j = 0; j < a.vocabulary; j++) {
        expected[t * a.vocabulary + j] =
            Math.exp(logits[t * a.vocabulary + j] + a.bias.get(0, j)) / sum;
      }
    }
    assertRows(expected, a.logits, 5);
  }

  @Test
  void theBitsDoNotDependOnTheThreads() {
    Case one = new Case(7, 3000, 8);
    Case two = new Case(7, 3000, 8);
    Run run = run(TOKENS, 8);
    SoftmaxLoss first = one.softmax(1);
    one.forward(first, run);
    one.backward(first, run);
    double loss = run.lossSum();
    SoftmaxLoss second = two.softmax(2);
    two.forward(second, run);
    two.backward(second, run);
    assertThat(run.lossSum()).isEqualTo(loss);
    assertSameBits(one.dx.rows(0, 8), two.dx.rows(0, 8));
    assertSameBits(one.dWeight, two.dWeight);
    assertSameBits(one.dBias, two.dBias);
  }
}
