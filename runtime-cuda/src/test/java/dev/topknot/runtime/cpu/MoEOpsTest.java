package dev.topknot.runtime.cpu;

import static dev.topknot.dsl.ActivationFunction.GELU;
import static dev.topknot.dsl.ActivationFunction.IDENTITY;
import static dev.topknot.dsl.ActivationFunction.RELU;
import static dev.topknot.dsl.ActivationFunction.SIGMOID;
import static dev.topknot.dsl.ActivationFunction.SWIGLU;
import static dev.topknot.dsl.ActivationFunction.TANH;
import static dev.topknot.dsl.Gating.NOISY_TOP_K;
import static dev.topknot.dsl.Gating.SOFTMAX_TOP_K;
import static dev.topknot.dsl.Gating.TOP_K;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Options;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** A layer of the ops against the layer in double precision, and its bits against themselves. */
final class MoEOpsTest {
  private static final double TOLERANCE = 1e-5;

  static Stream<Arguments> layers() {
    return Stream.of(
        Arguments.of(new MoEOps.Shape(7, 8, 5, 2, 6, RELU, NOISY_TOP_K), 7),
        Arguments.of(new MoEOps.Shape(9, 5, 4, 3, 7, GELU, NOISY_TOP_K), 6),
        Arguments.of(new MoEOps.Shape(7, 8, 5, 2, 6, SWIGLU, NOISY_TOP_K), 5),
        Arguments.of(new MoEOps.Shape(7, 8, 3, 3, 6, TANH, NOISY_TOP_K), 7), // all are chosen
        Arguments.of(new MoEOps.Shape(1, 3, 4, 1, 5, SIGMOID, NOISY_TOP_K), 1),
        Arguments.of(new MoEOps.Shape(3, 4, 40, 2, 3, IDENTITY, NOISY_TOP_K), 3), // most are idle
        Arguments.of(new MoEOps.Shape(40, 4, 3, 2, 3, GELU, NOISY_TOP_K), 37),
        Arguments.of(new MoEOps.Shape(7, 8, 5, 2, 6, RELU, TOP_K), 5),
        Arguments.of(new MoEOps.Shape(7, 8, 5, 1, 6, SWIGLU, TOP_K), 7),
        Arguments.of(new MoEOps.Shape(9, 5, 40, 3, 4, RELU, TOP_K), 8),
        Arguments.of(new MoEOps.Shape(150, 5, 21, 2, 4, RELU, SOFTMAX_TOP_K), 149),
        Arguments.of(new MoEOps.Shape(7, 8, 5, 3, 6, RELU, SOFTMAX_TOP_K), 7),
        Arguments.of(new MoEOps.Shape(7, 8, 5, 1, 6, RELU, SOFTMAX_TOP_K), 6));
  }

  @ParameterizedTest
  @MethodSource("layers")
  void everyOutputAndGradientIsThatOfTheFormulas(MoEOps.Shape shape, int valid) {
    try (MoEOps ops = new MoEOps(shape, 2, Options.defaults())) {
      for (int step = 0; step < 2; step++) {
        ops.draw(11 + step);
        ops.run.train(Math.max(1, valid - step), step, 42, 1000); // fewer the second time
        ops.forward();
        ops.backward();
        compare(ops, ops.reference(shape.gating() == NOISY_TOP_K));
      }
    }
  }

  @Test
  void withNoiseOffTheNoiseWeightsHaveNoGradient() {
    MoEOps.Shape shape = new MoEOps.Shape(7, 8, 5, 2, 6, RELU, NOISY_TOP_K);
    try (MoEOps ops = new MoEOps(shape, 2, Options.defaults().withNoise(false))) {
      ops.draw(5);
      ops.run.train(7, 0, 42, 0);
      ops.forward();
      ops.backward();
      compare(ops, ops.reference(false));
      assertThat(Fixture.doubles(ops.dNoiseWeights)).containsOnly(0);
      assertThat(Fixture.doubles(ops.noisy)).isEqualTo(Fixture.doubles(ops.clean));
    }
  }

  /** Without a floor the deviation underflows to 0 where x·W_noise is far below 0. */
  @Test
  void aNoiseFloorOfZeroGivesNumbers() {
    MoEOps.Shape shape = new MoEOps.Shape(7, 8, 5, 2, 6, RELU, NOISY_TOP_K);
    try (MoEOps ops = new MoEOps(shape, 2, Options.defaults().withNoiseFloor(0))) {
      ops.draw(5);
      ops.x.fill(1);
      ops.noiseWeights.fill(-1000);
      ops.run.train(7, 0, 42, 0);
      ops.forward();
      ops.backward();
      for (Matrix m : List.of(ops.y, ops.gates, ops.importance, ops.load, ops.dx)) {
        assertThat(m.isFinite(0, m.size())).isTrue();
      }
      for (Matrix m : List.of(ops.dGateWeights, ops.dNoiseWeights, ops.dW1, ops.dW2)) {
        assertThat(m.isFinite(0, m.size())).isTrue();
      }
      float[] load = Fixture.floats(ops.load);
      Arrays.sort(load);
      assertThat(load).containsExactly(0, 0, 0, 7, 7);
    }
  }

  @Test
  void inferenceDrawsNoNoise() {
    MoEOps.Shape shape = new MoEOps.Shape(7, 8, 5, 2, 6, RELU, NOISY_TOP_K);
    try (MoEOps ops = new MoEOps(shape, 2, Options.defaults())) {
      ops.draw(5);
      ops.run.infer(6);
      ops.infer();
      DoubleMoE reference = ops.reference(false);
      reference.loss();
      compareForward(ops, reference);
    }
  }

  private static void compare(MoEOps ops, DoubleMoE reference) {
    reference.loss();
    compareForward(ops, reference);
    int valid = ops.run.valid();
    Fixture.assertRows(reference.gradient(reference.x), ops.dx, valid);
    near(ops.dGateWeights, reference.gradient(reference.gateWeights), "dGateWeights");
    if (reference.noiseWeights != null) {
      near(ops.dNoiseWeights, reference.gradient(reference.noiseWeights), "dNoiseWeights");
    }
    near(ops.dW1, reference.gradient(reference.w1), "dW1");
    near(ops.dW2, reference.gradient(reference.w2), "dW2");
    if (ops.shape.activation() == SWIGLU) {
      near(ops.dW3, reference.gradient(reference.w3), "dW3");
    }
  }

  private static void compareForward(MoEOps ops, DoubleMoE reference) {
    int valid = ops.run.valid();
    for (int t = 0; t < valid; t++) {
      int[] own = Arrays.copyOfRange(reference.chosen, t * reference.k, (t + 1) * reference.k);
      assertThat(own).doesNotHaveDuplicates();
      for (int j = 1; j < own.length; j++) {
        assertThat(reference.noisy[t * reference.experts + own[j]])
            .isLessThanOrEqualTo(reference.noisy[t * reference.experts + own[j - 1]] + 1e-5);
      }
      if (reference.k < reference.experts) {
        assertThat(reference.noisy[t * reference.experts + reference.next(t, own)])
            .isLessThanOrEqualTo(
                reference.noisy[t * reference.experts + own[own.length - 1]] + 1e-5);
      }
    }
    Fixture.assertRows(reference.clean, ops.clean, valid);
    Fixture.assertRows(reference.gates, ops.gates, valid);
    Fixture.assertNear(reference.importance, ops.importance);
    Fixture.assertNear(reference.load, ops.load);
    Fixture.assertRows(reference.y, ops.y, valid);
    Balance balance = ops.balance();
    long[] tokens = new long[reference.experts];
    for (int e : reference.chosen) {
      tokens[e]++;
    }
    assertThat(balance.tokens()).isEqualTo(tokens);
    assertThat(balance.importanceLoss())
        .isCloseTo(0.3 * DoubleMoE.cvSquared(reference.importance), within(1e-5));
    assertThat(balance.loadLoss())
        .isCloseTo(0.2 * DoubleMoE.cvSquared(reference.load), within(1e-5));
  }

  private static void near(Matrix actual, double[] expected, String what) {
    near(Fixture.doubles(actual), expected, what);
  }

  /** ‖actual − expected‖ ≤ 1e-5 ‖expected‖, with room for the rounding of differences near 0. */
  private static void near(double[] actual, double[] expected, String what) {
    assertThat(actual).as(what).hasSameSizeAs(expected);
    double error = 0;
    double norm = 0;
    for (int i = 0; i < actual.length; i++) {
      error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
    assertThat(Math.sqrt(error)).as(what).isLessThanOrEqualTo(TOLERANCE * Math.sqrt(norm) + 1e-8);
  }

  static Stream<MoEOps.Shape> bothGates() {
    return Stream.of(
        new MoEOps.Shape(4, 8, 12, 2, 6, GELU, NOISY_TOP_K),
        new MoEOps.Shape(4, 8, 40, 2, 6, GELU, TOP_K));
  }

  @ParameterizedTest
  @MethodSource("bothGates")
  void gradientsAddUpWithBetaOne(MoEOps.Shape shape) {
    try (MoEOps ops = new MoEOps(shape, 2, Options.defaults())) {
      ops.draw(3);
      ops.run.train(4, 0, 42, 0);
      ops.forward();
      ops.backward();
      double[] once = Fixture.doubles(ops.dW1);
      double[] onceGate = Fixture.doubles(ops.dGateWeights);
      ops.run.add(true);
      ops.backward();
      near(ops.dW1, doubled(once), "dW1");
      near(ops.dGateWeights, doubled(onceGate), "dGateWeights");
      ops.run.add(false);
      ops.backward();
      assertThat(Fixture.doubles(ops.dW1)).isEqualTo(once);
    }
  }

  private static double[] doubled(double[] values) {
    return Arrays.stream(values).map(v -> 2 * v).toArray();
  }

  @Test
  void gradientsOfIdleExpertsAreZeroWhoeverWroteThere() {
    MoEOps.Shape shape = new MoEOps.Shape(2, 8, 12, 2, 6, IDENTITY, TOP_K);
    try (MoEOps ops = new MoEOps(shape, 2, Options.defaults())) {
      ops.draw(3);
      ops.run.train(2, 0, 42, 0);
      for (int i = 0; i < 3; i++) {
        ops.forward();
        ops.backward();
        for (int e = 0; e < 12; e++) {
          double[] of = Fixture.doubles(ops.dW2.rows(e * 8L, 8));
          if (ops.balance().tokens()[e] == 0) {
            assertThat(of).containsOnly(0);
          } else {
            assertThat(Arrays.stream(of).anyMatch(v -> v != 0)).isTrue();
          }
        }
        if (i == 0) {
          ops.dW1.fill(Float.NaN);
          ops.dW2.fill(Float.NaN);
        }
        MoEOps.fill(ops.x, new java.util.Random(i));
      }
    }
  }

  @Test
  void tiesGoToTheLowerExpert() {
    MoEOps.Shape shape = new MoEOps.Shape(6, 8, 5, 3, 6, RELU, NOISY_TOP_K);
    try (MoEOps ops = new MoEOps(shape, 2, Options.defaults().withNoise(false))) {
      ops.draw(3);
      ops.gateWeights.fill(0);
      ops.run.train(6, 0, 42, 0);
      ops.forward();
      int[] chosen = new int[18];
      ops.chosen.read(0, chosen, 0, 18);
      for (int t = 0; t < 6; t++) {
        assertThat(Arrays.copyOfRange(chosen, 3 * t, 3 * t + 3)).containsExactly(0, 1, 2);
      }
      assertThat(Fixture.floats(ops.gates)).containsOnly(1f / 3);
      assertThat(Fixture.floats(ops.load)).containsExactly(6, 6, 6, 0, 0);
    }
  }

  @Test
  void noTokensLeaveEverythingAloneButZeroGradients() {
    MoEOps.Shape shape = new MoEOps.Shape(6, 8, 5, 3, 6, GELU, NOISY_TOP_K);
    try (MoEOps ops = new MoEOps(shape, 2, Options.defaults())) {
      ops.draw(3);
      ops.run.train(0, 0, 42, 0);
      ops.forward();
      ops.backward();
      assertThat(Fixture.doubles(ops.y)).containsOnly(Double.NaN);
      assertThat(Fixture.doubles(ops.dW1)).containsOnly(0);
      assertThat(Fixture.doubles(ops.dGateWeights)).containsOnly(0);
      assertThat(Fixture.doubles(ops.dNoiseWeights)).containsOnly(0);
      assertThat(Fixture.doubles(ops.load)).containsOnly(0);
    }
  }

  /** Experts with more rows than a panel get their weights' gradients in parts, others at once. */
  @ParameterizedTest
  @EnumSource(
      value = ActivationFunction.class,
      names = {"RELU", "GELU", "SWIGLU"})
  void hotAndColdExpertsAreThoseOfTheFormulas(ActivationFunction activation) {
    MoEOps.Shape shape = new MoEOps.Shape(1000, 3, 5, 1, 6, activation, SOFTMAX_TOP_K);
    try (MoEOps ops = new MoEOps(shape, 2, Options.defaults())) {
      ops.draw(5);
      ops.run.train(990, 1, 42, 1000);
      ops.forward();
      ops.backward();
      Integer[] rows = new Integer[shape.experts()];
      Arrays.setAll(rows, e -> ops.offsets.get(e + 1L) - ops.offsets.get(e));
      assertThat(rows)
          .anyMatch(it -> it > Panels.HEIGHT)
          .anyMatch(it -> it > 0 && it <= Panels.HEIGHT);
      compare(ops, ops.reference(false));
      double[] w1 = Fixture.doubles(ops.dW1);
      double[] w2 = Fixture.doubles(ops.dW2);
      ops.run.add(true);
      ops.backward();
      near(ops.dW1, doubled(w1), "dW1");
      near(ops.dW2, doubled(w2), "dW2");
    }
  }

  @Test
  void theLargestOfASoftmaxHasAGradientForAllLogits() {
    MoEOps.Shape shape = new MoEOps.Shape(4, 8, 40, 1, 6, RELU, SOFTMAX_TOP_K);
    assertThatThrownBy(() -> new MoEOps(shape, 1, Options.defaults()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("for all logits");
  }

  @ParameterizedTest
  @MethodSource("hotLayers")
  void oneThreadAndThreeGiveTheSameBits(MoEOps.Shape shape) {
    try (MoEOps one = new MoEOps(shape, 1, Options.defaults());
        MoEOps three = new MoEOps(shape, 3, Options.defaults())) {
      for (MoEOps ops : new MoEOps[] {one, three}) {
        ops.draw(8);
        for (int i = 0; i < shape.width(); i++) {
          ops.x.set(17, i, 0);
        }
        ops.run.train(shape.tokens() - 3, 4, 42, 7);
        ops.forward();
        ops.backward();
      }
      for (Matrix[] pair :
          new Matrix[][] {
            {one.y, three.y},
            {one.dx, three.dx},
            {one.importance, three.importance},
            {one.load, three.load},
            {one.dGateWeights, three.dGateWeights},
            {one.dNoiseWeights, three.dNoiseWeights},
            {one.dW1, three.dW1},
            {one.dW2, three.dW2},
            {one.dW3, three.dW3}
          }) {
        Fixture.assertSameBits(pair[0], pair[1]);
      }
    }
  }

  /** Experts with more rows than a panel. */
  static Stream<MoEOps.Shape> hotLayers() {
    return Stream.of(
        new MoEOps.Shape(300, 16, 3, 3, 24, RELU, NOISY_TOP_K),
        new MoEOps.Shape(700, 8, 3, 2, 10, GELU, NOISY_TOP_K),
        new MoEOps.Shape(400, 8, 2, 2, 10, SWIGLU, TOP_K),
        new MoEOps.Shape(400, 8, 70, 3, 4, RELU, TOP_K));
  }

  @Test
  void aTokensRoutingDoesNotDependOnItsBatch() {
    int experts = 21;
    MoEOps.Shape shape = new MoEOps.Shape(150, 40, experts, 2, 4, RELU, NOISY_TOP_K);
    try (MoEOps whole = new MoEOps(shape, 2, Options.defaults());
        MoEOps part = new MoEOps(shape, 2, Options.defaults())) {
      whole.draw(8);
      whole.run.train(150, 4, 42, 0);
      whole.forward();
      part.draw(8);
      float[] x = Fixture.floats(whole.x);
      int from = 0;
      for (int count : new int[] {1, 67, 20, 62}) {
        part.x.write(0, x, from * 40, count * 40);
        part.run.train(count, 4, 42, from);
        part.forward();
        for (Matrix[] pair :
            new Matrix[][] {
              {whole.clean, part.clean},
              {whole.raw, part.raw},
              {whole.noisy, part.noisy},
              {whole.gates, part.gates}
            }) {
          Fixture.assertSameBits(pair[0].rows(from, count), pair[1].rows(0, count));
        }
        from += count;
      }
      assertThat(from).isEqualTo(150);
    }
  }
}
