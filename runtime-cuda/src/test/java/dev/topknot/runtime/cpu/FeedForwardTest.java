package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The dense twin against the formulas in double precision, with and without a gated layer. */
final class FeedForwardTest {
  private static final int TOKENS = 40;
  private static final int VALID = 37;
  private static final int WIDTH = 5;
  private static final int HIDDEN = 7;

  @ParameterizedTest
  @EnumSource(ActivationFunction.class)
  void everyOutputAndGradientIsThatOfTheFormulas(ActivationFunction activation) {
    try (Buffers b = new Buffers(TOKENS)) {
      b.draw(4);
      b.step(activation, 2, VALID);
      DoubleMoE r = new DoubleMoE(VALID, WIDTH, 1, 1, HIDDEN, activation);
      r.x = Fixture.doubles(b.x.rows(0, VALID));
      r.dy = Fixture.doubles(b.dy.rows(0, VALID));
      r.w1 = Fixture.doubles(b.w1);
      r.w2 = Fixture.doubles(b.w2);
      r.w3 = Fixture.doubles(b.w3);
      r.loss();
      Fixture.assertRows(r.y, b.y, VALID);
      Fixture.assertRows(r.gradient(r.x), b.dx, VALID);
      Fixture.assertNear(r.gradient(r.w1), b.dW1);
      Fixture.assertNear(r.gradient(r.w2), b.dW2);
      if (activation == ActivationFunction.SWIGLU) {
        Fixture.assertNear(r.gradient(r.w3), b.dW3);
      }
    }
  }

  @Test
  void oneThreadAndThreeGiveTheSameBits() {
    try (Buffers one = new Buffers(600);
        Buffers three = new Buffers(600)) {
      one.draw(4);
      one.step(ActivationFunction.GELU, 1, 555);
      three.draw(4);
      three.step(ActivationFunction.GELU, 3, 555);
      Fixture.assertSameBits(one.y, three.y);
      Fixture.assertSameBits(one.dx, three.dx);
      Fixture.assertSameBits(one.dW1, three.dW1);
      Fixture.assertSameBits(one.dW2, three.dW2);
    }
  }

  @Test
  void withoutTokensTheGradientsAreZero() {
    try (Buffers b = new Buffers(TOKENS)) {
      b.draw(4);
      b.step(ActivationFunction.RELU, 2, 0);
      assertThat(Fixture.doubles(b.dW1)).containsOnly(0);
      assertThat(Fixture.doubles(b.dW2)).containsOnly(0);
      assertThat(Fixture.doubles(b.y)).containsOnly(Double.NaN);
    }
  }

  /** Buffers of exactly the shapes of the op. */
  private static final class Buffers implements AutoCloseable {
    final int tokens;
    final Arena arena;
    long used;
    final Matrix x;
    final Matrix y;
    final Matrix dy;
    final Matrix dx;
    final Matrix w1;
    final Matrix w2;
    final Matrix w3;
    final Matrix dW1;
    final Matrix dW2;
    final Matrix dW3;
    final Matrix u;
    final Matrix v;
    final Matrix hidden;
    final Matrix dU;
    final Matrix dV;

    Buffers(int tokens) {
      this.tokens = tokens;
      arena = Arena.allocate(tokens * (4L * WIDTH + 5L * HIDDEN) + 6L * WIDTH * HIDDEN);
      x = matrix(tokens, WIDTH);
      y = matrix(tokens, WIDTH);
      dy = matrix(tokens, WIDTH);
      dx = matrix(tokens, WIDTH);
      w1 = matrix(HIDDEN, WIDTH);
      w2 = matrix(WIDTH, HIDDEN);
      w3 = matrix(HIDDEN, WIDTH);
      dW1 = matrix(HIDDEN, WIDTH);
      dW2 = matrix(WIDTH, HIDDEN);
      dW3 = matrix(HIDDEN, WIDTH);
      u = matrix(tokens, HIDDEN);
      v = matrix(tokens, HIDDEN);
      hidden = matrix(tokens, HIDDEN);
      dU = matrix(tokens, HIDDEN);
      dV = matrix(tokens, HIDDEN);
    }

    private Matrix matrix(int rows, int columns) {
      Matrix matrix = arena.matrix(used, rows, columns);
      used += matrix.size();
      return matrix;
    }

    void draw(long seed) {
      Random random = new Random(seed);
      for (Matrix m : new Matrix[] {x, dy, w1, w2, w3}) {
        MoEOps.fill(m, random);
      }
      for (Matrix m : new Matrix[] {y, dx, dW1, dW2, dW3, u, v, hidden, dU, dV}) {
        m.fill(Float.NaN);
      }
    }

    void step(ActivationFunction activation, int threads, int valid) {
      CpuContext context = Fixture.context(threads);
      Run run = Fixture.run(tokens, valid);
      if (activation == ActivationFunction.SWIGLU) {
        SwigluFeedForward op = new SwigluFeedForward(context, "twin", tokens, WIDTH, HIDDEN);
        op.forward(run, x, w1, w2, w3, u, v, hidden, y);
        hidden.fill(Float.NaN);
        op.backward(run, x, w1, w2, w3, u, v, dy, hidden, dU, dV, dx, dW1, dW2, dW3);
      } else {
        FeedForward op = new FeedForward(context, "twin", tokens, WIDTH, HIDDEN, activation);
        op.forward(run, x, w1, w2, hidden, y);
        op.backward(run, x, w1, w2, hidden, dy, dU, dx, dW1, dW2);
      }
    }

    @Override
    public void close() {
      arena.close();
    }
  }
}
