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
import static dev.topknot.runtime.cpu.Fixture.valid;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LstmTest {
  private static final int BATCH = 3;
  private static final int STEPS = 4;
  private static final int TOKENS = BATCH * STEPS;

  /** The operands of one layer. */
  private static final class Case {
    final int inputs;
    final int units;
    final Matrix x;
    final Matrix wx;
    final Matrix wh;
    final Matrix bias;
    final Matrix h0;
    final Matrix c0;
    final Matrix dh;
    final Matrix gates;
    final Matrix cells;
    final Matrix h;
    final Matrix dx;
    Matrix dWx;
    Matrix dWh;
    Matrix dBias;

    Case(int inputs, int units, int valid) {
      Random random = new Random(inputs);
      this.inputs = inputs;
      this.units = units;
      x = valid(random(random, TOKENS, inputs, 1), valid);
      wx = random(random, 4 * units, inputs, 1 / Math.sqrt(inputs));
      wh = random(random, 4 * units, units, 1 / Math.sqrt(units));
      bias = random(random, 1, 4 * units, 0.5);
      h0 = random(random, BATCH, units, 0.5);
      c0 = random(random, BATCH, units, 0.5);
      dh = valid(random(random, TOKENS, units, 1), valid);
      gates = poisoned(TOKENS, 4 * units);
      cells = poisoned(TOKENS, units);
      h = poisoned(TOKENS, units);
      dx = poisoned(TOKENS, inputs);
      dWx = poisoned(4 * units, inputs);
      dWh = poisoned(4 * units, units);
      dBias = poisoned(1, 4 * units);
    }

    Lstm lstm(int threads) {
      return new Lstm(context(threads), "below", BATCH, STEPS, inputs, units);
    }

    void forward(Lstm lstm, Run run) {
      lstm.forward(run, x, wx, wh, bias, h0, c0, gates, cells, h);
    }

    void backward(Lstm lstm, Run run) {
      lstm.backward(run, x, wx, wh, h0, c0, gates, cells, h, copy(dh), dx, dWx, dWh, dBias);
    }
  }

  @ParameterizedTest
  @CsvSource({"5, 6, 12", "5, 6, 10", "5, 6, 2", "1, 1, 7", "40, 130, 11"})
  void forwardFollowsTheFormula(int inputs, int units, int valid) {
    Case a = new Case(inputs, units, valid);
    a.forward(a.lstm(2), run(TOKENS, valid));
    Reference expected = new Reference(inputs, units, valid);
    expected.run(
        doubles(a.x), doubles(a.wx), doubles(a.wh), doubles(a.bias), doubles(a.h0), doubles(a.c0));
    assertRows(expected.h, a.h, valid);
    assertRows(expected.c, a.cells, valid);
  }

  @ParameterizedTest
  @CsvSource({"5, 6, 12", "5, 6, 10", "5, 6, 2", "1, 1, 7"})
  void backwardIsTheDerivative(int inputs, int units, int valid) {
    Case a = new Case(inputs, units, valid);
    Run run = run(TOKENS, valid);
    Lstm lstm = a.lstm(2);
    a.forward(lstm, run);
    a.backward(lstm, run);
    Reference reference = new Reference(inputs, units, valid);
    double[] x = doubles(a.x);
    double[] wx = doubles(a.wx);
    double[] wh = doubles(a.wh);
    double[] bias = doubles(a.bias);
    double[] h0 = doubles(a.h0);
    double[] c0 = doubles(a.c0);
    double[] dh = doubles(a.dh);
    assertRows(gradient(p -> reference.loss(p, wx, wh, bias, h0, c0, dh), x), a.dx, valid);
    assertNear(gradient(p -> reference.loss(x, p, wh, bias, h0, c0, dh), wx), a.dWx);
    assertNear(gradient(p -> reference.loss(x, wx, p, bias, h0, c0, dh), wh), a.dWh);
    assertNear(gradient(p -> reference.loss(x, wx, wh, p, h0, c0, dh), bias), a.dBias);
  }

  @Test
  void severalPanelsOfUnitsTrainAlike() {
    // the derivative along one direction: a whole gradient by differences would take long
    Case a = new Case(40, 130, 11);
    Run run = run(TOKENS, 11);
    Lstm lstm = a.lstm(2);
    a.forward(lstm, run);
    a.backward(lstm, run);
    Reference reference = new Reference(40, 130, 11);
    double[] x = doubles(a.x);
    double[] wx = doubles(a.wx);
    double[] wh = doubles(a.wh);
    double[] bias = doubles(a.bias);
    double[] h0 = doubles(a.h0);
    double[] c0 = doubles(a.c0);
    double[] dh = doubles(a.dh);
    double[] along = doubles(random(new Random(8), 1, wh.length, 1));
    double[] slope =
        gradient(
            p -> reference.loss(x, wx, moved(wh, along, p[0]), bias, h0, c0, dh), new double[1]);
    assertNear(slope, asMatrix(dot(doubles(a.dWh), along, along.length)));
    double[] alongX = doubles(random(new Random(9), 1, wx.length, 1));
    slope =
        gradient(
            p -> reference.loss(x, moved(wx, alongX, p[0]), wh, bias, h0, c0, dh), new double[1]);
    assertNear(slope, asMatrix(dot(doubles(a.dWx), alongX, alongX.length)));
  }

  @Test
  void gradientsAddWhenAsked() {
    Case a = new Case(5, 6, 10);
    Run run = run(TOKENS, 10);
    Lstm lstm = a.lstm(2);
    a.forward(lstm, run);
    a.backward(lstm, run);
    Case b = new Case(5, 6, 10);
    b.dWx = random(new Random(3), 24, 5, 1);
    b.dWh = random(new Random(4), 24, 6, 1);
    b.dBias = random(new Random(5), 1, 24, 1);
    double[] dWx = sum(b.dWx, a.dWx);
    double[] dWh = sum(b.dWh, a.dWh);
    double[] dBias = sum(b.dBias, a.dBias);
    b.forward(lstm, run);
    run.add(true);
    b.backward(lstm, run);
    assertNear(dWx, b.dWx);
    assertNear(dWh, b.dWh);
    assertNear(dBias, b.dBias);
    assertSameBits(a.dx.rows(0, 10), b.dx.rows(0, 10));
  }

  @Test
  void commitCarriesTheLastValidStateOfEverySequence() {
    for (int valid : new int[] {12, 10, 2, 0}) {
      Case a = new Case(5, 6, valid);
      Lstm lstm = a.lstm(1);
      Run run = run(TOKENS, valid);
      a.forward(lstm, run);
      Matrix h0 = copy(a.h0);
      Matrix c0 = copy(a.c0);
      lstm.commit(run, a.cells, a.h, h0, c0);
      for (int sequence = 0; sequence < BATCH; sequence++) {
        int last = -1;
        for (int token = sequence; token < valid; token += BATCH) {
          last = token;
        }
        assertSameBits(last < 0 ? a.h0.rows(sequence, 1) : a.h.rows(last, 1), h0.rows(sequence, 1));
        assertSameBits(
            last < 0 ? a.c0.rows(sequence, 1) : a.cells.rows(last, 1), c0.rows(sequence, 1));
      }
    }
  }

  @Test
  void noTokensMeanNoGradient() {
    Case a = new Case(5, 6, 0);
    Run run = run(TOKENS, 0);
    Lstm lstm = a.lstm(2);
    a.forward(lstm, run);
    a.backward(lstm, run);
    assertNear(new double[24 * 5], a.dWx);
    assertNear(new double[24 * 6], a.dWh);
    assertNear(new double[24], a.dBias);
  }

  @Test
  void theBitsDoNotDependOnTheThreads() {
    Case one = new Case(40, 130, 11);
    Case two = new Case(40, 130, 11);
    Run run = run(TOKENS, 11);
    Lstm first = one.lstm(1);
    one.forward(first, run);
    one.backward(first, run);
    Lstm second = two.lstm(2);
    two.forward(second, run);
    two.backward(second, run);
    assertSameBits(one.h.rows(0, 11), two.h.rows(0, 11));
    assertSameBits(one.dx.rows(0, 11), two.dx.rows(0, 11));
    assertSameBits(one.dWx, two.dWx);
    assertSameBits(one.dWh, two.dWh);
    assertSameBits(one.dBias, two.dBias);
  }

  private static double[] moved(double[] from, double[] along, double by) {
    double[] to = from.clone();
    for (int i = 0; i < to.length; i++) {
      to[i] += by * along[i];
    }
    return to;
  }

  private static Matrix asMatrix(double value) {
    Matrix matrix = poisoned(1, 1);
    matrix.set(0, 0, (float) value);
    return matrix;
  }

  private static double[] sum(Matrix a, Matrix b) {
    return moved(doubles(a), doubles(b), 1);
  }

  /** The formula, in double, one unit after the other. */
  private static final class Reference {
    final int inputs;
    final int units;
    final int valid;
    final double[] h;
    final double[] c;

    Reference(int inputs, int units, int valid) {
      this.inputs = inputs;
      this.units = units;
      this.valid = valid;
      h = new double[TOKENS * units];
      c = new double[TOKENS * units];
    }

    double loss(
        double[] x,
        double[] wx,
        double[] wh,
        double[] bias,
        double[] h0,
        double[] c0,
        double[] dh) {
      run(x, wx, wh, bias, h0, c0);
      return dot(h, dh, valid * units);
    }

    void run(double[] x, double[] wx, double[] wh, double[] bias, double[] h0, double[] c0) {
      for (int token = 0; token < valid; token++) {
        double[] hBefore = token < BATCH ? h0 : h;
        double[] cBefore = token < BATCH ? c0 : c;
        int before = (token < BATCH ? token : token - BATCH) * units;
        for (int unit = 0; unit < units; unit++) {
          double[] z = new double[4];
          for (int gate = 0; gate < 4; gate++) {
            int row = gate * units + unit;
            z[gate] = bias[row];
            for (int j = 0; j < inputs; j++) {
              z[gate] += wx[row * inputs + j] * x[token * inputs + j];
            }
            for (int j = 0; j < units; j++) {
              z[gate] += wh[row * units + j] * hBefore[before + j];
            }
          }
          double cell = sigmoid(z[1]) * cBefore[before + unit] + sigmoid(z[0]) * Math.tanh(z[2]);
          c[token * units + unit] = cell;
          h[token * units + unit] = sigmoid(z[3]) * Math.tanh(cell);
        }
      }
    }

    private static double sigmoid(double z) {
      return 1 / (1 + Math.exp(-z));
    }
  }
}
