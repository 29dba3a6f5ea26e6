package dev.topknot.it.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The corners of the mathematics. */
class EdgeCasesTest {
  private static final int WIDTH = 4;

  private final Draw draw = new Draw(31);

  @Test
  void perfectBalanceHasNoLossAndNoGradient() {
    double[] equal = {0.75, 0.75, 0.75};
    assertThat(Balance.cvSquared(equal)).isZero();
    assertThat(Balance.cvSquaredGradient(equal)).containsOnly(0);
  }

  @Test
  void nothingAtAllIsFinite() {
    double[] nothing = new double[4];
    assertThat(Balance.cvSquared(nothing)).isZero();
    assertThat(Balance.cvSquaredGradient(nothing)).containsOnly(0);
  }

  @Test
  void oneAgainstNothing() {
    // Mean 1/4, variance 3/16: the ratio is 3 up to the 1e-10 in the denominator.
    assertThat(Balance.cvSquared(new double[] {1, 0, 0, 0})).isCloseTo(3, within(1e-8));
  }

  @Test
  void ofEqualLogitsTheLowestIndicesAreChosenAndWeighedAlike() {
    MoE.Forward pass = plain(2, Matrix.zeros(WIDTH, 5)).forward(draw.normal(3, WIDTH, 1), null);

    for (int t = 0; t < 3; t++) {
      assertThat(pass.gate().chosen()[t]).containsExactly(0, 1);
      assertThat(pass.gate().gates().rows(t, t + 1).data()).containsExactly(0.5, 0.5, 0, 0, 0);
    }
    assertThat(pass.importance()).containsExactly(1.5, 1.5, 0, 0, 0);
    assertThat(pass.load()).containsExactly(3, 3, 0, 0, 0);
    assertThat(pass.backward(draw.normal(3, WIDTH, 1)).x().data()).doesNotContain(Double.NaN);
  }

  @Test
  void tiesBelowTheLargestGoToTheLowerIndex() {
    Matrix x = Matrix.row(1, 0, 0, 0);
    Matrix logits = Matrix.zeros(WIDTH, 5);
    System.arraycopy(new double[] {1, 2, 0, 2, 1}, 0, logits.data(), 0, 5);
    assertThat(plain(3, logits).forward(x, null).gate().chosen()[0]).containsExactly(1, 3, 0);
  }

  @Test
  void allExpertsKeptIsTheDenseSoftmax() {
    Matrix x = draw.normal(6, WIDTH, 1);
    Matrix gateWeights = draw.weights(WIDTH, 5);
    Gating.Forward all =
        new Gating(Gating.Kind.NOISY_TOP_K, 5, 0.01, gateWeights, draw.weights(WIDTH, 5))
            .forward(x, Matrix.zeros(6, 5), null);

    assertThat(all.gates().distanceFrom(SoftmaxLoss.softmax(x.times(gateWeights))))
        .isLessThan(1e-15);
    assertThat(all.smoothLoad()).isFalse();
    assertThat(all.load()).containsOnly(6);
  }

  @Test
  void softmaxTopKOfOneIsTheProbabilityItself() {
    Matrix x = draw.normal(6, WIDTH, 1);
    Matrix gateWeights = draw.weights(WIDTH, 5);
    Matrix probabilities = SoftmaxLoss.softmax(x.times(gateWeights));
    Gating.Forward one =
        new Gating(Gating.Kind.SOFTMAX_TOP_K, 1, 0, gateWeights, null).forward(x, null, null);

    for (int t = 0; t < 6; t++) {
      int i = one.chosen()[t][0];
      double largest = Arrays.stream(probabilities.rows(t, t + 1).data()).max().orElseThrow();
      assertThat(one.gates().get(t, i)).isCloseTo(largest, within(1e-15)).isLessThan(1);
    }
  }

  @Test
  void softmaxTopKOfMoreRenormalisesOverTheKept() {
    Matrix x = draw.normal(6, WIDTH, 1);
    Matrix gateWeights = draw.weights(WIDTH, 5);
    Matrix probabilities = SoftmaxLoss.softmax(x.times(gateWeights));
    Gating.Forward two =
        new Gating(Gating.Kind.SOFTMAX_TOP_K, 2, 0, gateWeights, null).forward(x, null, null);

    for (int t = 0; t < 6; t++) {
      int[] c = two.chosen()[t];
      double kept = probabilities.get(t, c[0]) + probabilities.get(t, c[1]);
      assertThat(two.gates().get(t, c[1]))
          .isCloseTo(probabilities.get(t, c[1]) / kept, within(1e-15));
    }
  }

  @Test
  void oneToken() {
    MoE.Forward pass = plain(2, draw.weights(WIDTH, 5)).forward(draw.normal(1, WIDTH, 1), null);
    assertThat(Arrays.stream(pass.importance()).sum()).isCloseTo(1, within(1e-15));
    assertThat(Arrays.stream(pass.load()).sum()).isEqualTo(2);
  }

  @Test
  void oneExpertIsAFeedForwardLayer() {
    List<Expert> expert = draw.experts(1, "RELU", WIDTH, 6);
    Matrix x = draw.normal(5, WIDTH, 1);
    Matrix dy = draw.normal(5, WIDTH, 1);
    Gating gating = new Gating(Gating.Kind.TOP_K, 1, 0, draw.weights(WIDTH, 1), null);
    MoE.Forward layer = new MoE(gating, 0.1, 0.1, expert).forward(x, null);
    Pass alone = expert.get(0).forward(x);

    assertThat(layer.y().data()).isEqualTo(alone.y().data());
    assertThat(layer.importanceLoss() + layer.loadLoss()).isZero();
    assertThat(layer.backward(dy).x().distanceFrom(alone.backward(dy).x())).isLessThan(1e-15);
    assertThat(layer.backward(dy).get("gateWeights").norm()).isZero();
  }

  @Test
  void anExpertNobodyChoseHasNoGradient() {
    Matrix gateWeights = Matrix.zeros(WIDTH, 3);
    gateWeights.set(0, 2, -5);
    Matrix x = draw.normal(6, WIDTH, 1).map(Math::abs);
    MoE.Forward pass = plain(2, gateWeights).forward(x, null);
    Map<String, Matrix> gradients = pass.backward(draw.normal(6, WIDTH, 1)).byName();

    assertThat(pass.load()).containsExactly(6, 6, 0);
    assertThat(pass.importance()[2]).isZero();
    assertThat(gradients.get("experts.2.w1").data()).containsOnly(0).hasSize(6 * WIDTH);
    assertThat(gradients.get("experts.1.w1").norm()).isPositive();
  }

  @Test
  void rowsBeyondTheValidTouchNothing() {
    Matrix x = draw.normal(7, WIDTH, 1);
    Matrix dy = draw.normal(7, WIDTH, 1);
    Matrix noise = draw.normal(7, 5, 1);
    Gating gating =
        new Gating(
            Gating.Kind.NOISY_TOP_K, 2, 0.01, draw.weights(WIDTH, 5), draw.weights(WIDTH, 5));
    MoE moe = new MoE(gating, 0.1, 0.1, draw.experts(5, "GELU", WIDTH, 6));
    MoE.Forward alone = moe.forward(x.rows(0, 4), noise.rows(0, 4));
    for (Matrix matrix : List.of(x, dy, noise)) {
      Arrays.fill(matrix.data(), 4 * matrix.columns(), matrix.data().length, Double.NaN);
    }
    MoE.Forward partial = moe.forward(x, 4, noise, null);

    assertThat(partial.y().data()).isEqualTo(alone.y().resized(7).data());
    assertThat(partial.importance()).isEqualTo(alone.importance());
    assertThat(partial.load()).isEqualTo(alone.load());
    Gradients expected = alone.backward(dy.rows(0, 4));
    Gradients actual = partial.backward(dy);
    assertThat(actual.x().data()).isEqualTo(expected.x().resized(7).data());
    expected
        .byName()
        .forEach((name, g) -> assertThat(actual.get(name).data()).as(name).isEqualTo(g.data()));
  }

  @Test
  void anLstmCarriesEachSequencesLastValidState() {
    Lstm lstm = new Lstm(draw.weights(12, WIDTH), draw.weights(12, 3), draw.normal(1, 12, 1), null);
    Matrix x = draw.normal(8, WIDTH, 1);
    Matrix h0 = draw.normal(2, 3, 1);
    Matrix c0 = draw.normal(2, 3, 1);
    Lstm.Forward pass = lstm.forward(x, h0, c0);
    Lstm.Forward two = lstm.forward(x.rows(0, 4), h0, c0);
    Lstm.Forward three = lstm.forward(x.rows(0, 6), h0, c0);

    // Of five rows the first sequence has three, the second two.
    assertThat(pass.h(5).rows(0, 1).data()).isEqualTo(three.h().rows(0, 1).data());
    assertThat(pass.h(5).rows(1, 2).data()).isEqualTo(two.h().rows(1, 2).data());
    assertThat(pass.c(5).rows(0, 1).data()).isEqualTo(three.c().rows(0, 1).data());
    assertThat(pass.c(5).rows(1, 2).data()).isEqualTo(two.c().rows(1, 2).data());
    assertThat(pass.c(0).data()).isEqualTo(c0.data());
  }

  @Test
  void theGapOfADifferentSelection() {
    Matrix x = Matrix.of(2, WIDTH, 1, 0, 0, 0, 0, 1, 0, 0);
    Matrix logits = Matrix.zeros(WIDTH, 3);
    System.arraycopy(new double[] {3, 2, 1.5, 1, 0, 2}, 0, logits.data(), 0, 6);
    Gating.Forward gate = new Gating(Gating.Kind.TOP_K, 2, 0, logits, null).forward(x, null, null);

    assertThat(gate.gaps(new int[][] {{1, 0}, {0, 2}})).isEmpty();
    Map<Integer, Double> gaps = gate.gaps(new int[][] {{2, 0}, {2, 0}});
    assertThat(gaps).containsOnlyKeys(0);
    assertThat(gaps.get(0)).isCloseTo(0.5 / Math.sqrt(9 + 4 + 2.25), within(1e-15));
  }

  @Test
  void strictlyBalancedATokenNobodyKeepsStaysZero() {
    Matrix x = Matrix.of(3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1);
    Matrix logits = Matrix.of(3, 3, 5, 0, 0, 0, 5, 5, 1, 1, 1);
    StrictlyBalancedMoE moe =
        new StrictlyBalancedMoE(
            1, logits, new double[] {1, 1, 1}, 0, draw.experts(3, "IDENTITY", 3, 2));
    StrictlyBalancedMoE.Forward pass = moe.train(x);

    assertThat(pass.gates().data()).containsExactly(1, 0, 0, 0, 0.5, 0.5, 0, 0, 0);
    assertThat(pass.y().rows(2, 3).data()).containsOnly(0);
    assertThat(pass.backward(draw.normal(3, 3, 1)).x().rows(2, 3).data()).containsOnly(0);
    assertThat(moe.evaluate(x).gates().data()).containsOnly(0);
  }

  @Test
  void strictlyBalancedTiesGoToTheLowerToken() {
    StrictlyBalancedMoE moe =
        new StrictlyBalancedMoE(
            1, Matrix.zeros(3, 2), new double[2], 1, draw.experts(2, "IDENTITY", 3, 2));
    assertThat(moe.train(draw.normal(4, 3, 1)).gates().data())
        .containsExactly(0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0);
    assertThatThrownBy(() -> moe.train(draw.normal(3, 3, 1)))
        .hasMessage("expected k * tokens to be a multiple of 2 experts, got 3");
  }

  @Test
  void adamsFirstStepIsTheRateInTheGradientsDirection() {
    Matrix p = Matrix.row(1, 1, 1);
    new Adam(0.9, 0.999, 1e-8, 1, 3).step(p, Matrix.row(4, -1e-3, 0), 0.1);
    assertThat(p.get(0, 0)).isCloseTo(0.9, within(1e-8));
    assertThat(p.get(0, 1)).isCloseTo(1.1, within(1e-5));
    assertThat(p.get(0, 2)).isEqualTo(1);
  }

  /** By hand: of squares 1, 4, 9, 0 the row means are 2.5, 4.5, the column means 5, 2, all 3.5. */
  @Test
  void adamsSecondMomentIsThatOfRowsTimesThatOfColumns() {
    Matrix p = Matrix.zeros(2, 2);
    Adam.factored(0.999, 1e-8, 2, 2).step(p, Matrix.of(2, 2, 1, 2, -3, 0.0), 0.1);
    assertThat(p.get(0, 0)).isCloseTo(-0.1 / Math.sqrt(2.5 * 5 / 3.5), within(1e-8));
    assertThat(p.get(0, 1)).isCloseTo(-0.2 / Math.sqrt(2.5 * 2 / 3.5), within(1e-8));
    assertThat(p.get(1, 0)).isCloseTo(0.3 / Math.sqrt(4.5 * 5 / 3.5), within(1e-8));
    assertThat(p.get(1, 1)).isZero();
  }

  /** Squares that are a product of rows and columns, one row, or one column: nothing is lost. */
  @Test
  void adamFactoredIsAdamWithoutAFirstMomentWhereSquaresAreAProduct() {
    for (int[] shape : List.of(new int[] {3, 4}, new int[] {1, 5}, new int[] {5, 1})) {
      Matrix whole = draw.normal(shape[0], shape[1], 1);
      Matrix factored = whole.copy();
      Adam adam = new Adam(0, 0.9, 1e-8, shape[0], shape[1]);
      Adam product = Adam.factored(0.9, 1e-8, shape[0], shape[1]);
      Matrix g = draw.normal(shape[0], 1, 1).times(draw.normal(1, shape[1], 1));
      for (int step = 1; step < 5; step++) {
        adam.step(whole, g.scaled(step), 0.1);
        product.step(factored, g.scaled(step), 0.1);
        assertThat(factored.distanceFrom(whole)).isLessThan(1e-12);
      }
    }
  }

  @Test
  void adamFactoredLeavesAnExpertAloneThatWasNeverUsed() {
    Matrix p = draw.normal(3, 4, 1);
    Matrix before = p.copy();
    Adam.factored(0.999, 1e-8, 3, 4).step(p, Matrix.zeros(3, 4), 0.1);
    assertThat(p.data()).isEqualTo(before.data());
  }

  @Test
  void theRateRisesAndFalls() {
    assertThat(Training.rate(0.5, 1000, 1)).isCloseTo(0.0005, within(1e-18));
    assertThat(Training.rate(0.5, 1000, 1000)).isEqualTo(0.5);
    assertThat(Training.rate(0.5, 1000, 4000)).isEqualTo(0.25);
  }

  @Test
  void gradientsAreClippedByTheNormOverAll() {
    List<Matrix> gradients = List.of(Matrix.row(3, 0), Matrix.row(4));
    assertThat(Training.globalNorm(gradients)).isEqualTo(5);
    assertThat(Training.clippingFactor(gradients, 2)).isEqualTo(0.4);
    assertThat(Training.clippingFactor(gradients, 10)).isEqualTo(1);
  }

  @Test
  void wrongShapesAreRefused() {
    assertThatThrownBy(() -> Matrix.zeros(2, 3).times(Matrix.zeros(2, 3)))
        .hasMessage("expected dimension 3, got 2");
    assertThatThrownBy(() -> plain(6, Matrix.zeros(WIDTH, 5)))
        .hasMessage("expected k within 1..5, got 6");
  }

  private MoE plain(int k, Matrix gateWeights) {
    return new MoE(
        new Gating(Gating.Kind.TOP_K, k, 0, gateWeights, null),
        0.1,
        0.1,
        draw.experts(gateWeights.columns(), "RELU", WIDTH, 6));
  }
}
