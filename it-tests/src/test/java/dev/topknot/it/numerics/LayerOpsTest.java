package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.it.reference.Gradients;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.MoE;
import dev.topknot.runtime.Balance;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A layer of operations against the reference. */
class LayerOpsTest {
  /** ‖H‖ times this is as close as two logits must be for a device to swap them. */
  private static final double GAP = 1e-5;

  /**
   * Every combination of tokens, width, experts and k (of 4096 experts 512 wide one a k); gating,
   * activation and the number of valid tokens change from one to the next.
   */
  static Stream<LayerCase> cases() {
    Gating[] gatings = LayerCase.GATINGS;
    ActivationFunction[] activations = ActivationFunction.values();
    int[] sizes = {1, 7, 33};
    List<LayerCase> cases = new ArrayList<>();
    for (int experts : new int[] {2, 5, 64, 4096}) {
      for (int k = 1; k <= Math.min(4, experts); k++) {
        for (int tokens : sizes) {
          for (int width : new int[] {8, 40, 512}) {
            int i = cases.size();
            if (experts * width == 4096 * 512 && tokens != sizes[Math.min(k, 3) - 1]) {
              continue;
            }
            cases.add(
                new LayerCase(
                    tokens,
                    i % 3 == 0 ? (tokens * 2 + 2) / 3 : tokens,
                    width,
                    experts,
                    k,
                    experts == 4096 ? 2 : 24,
                    activations[i % activations.length],
                    gatings[(i + i / gatings.length) % gatings.length]));
          }
        }
      }
    }
    return cases.stream();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithTheReference(LayerCase c, TestReporter reporter) {
    long seed = c.seed();
    LayerCase.Data data = c.draw(seed);
    try (OpsLayer layer = new OpsLayer(c, data, 2)) {
      layer.run(c, seed);
      int[][] chosen = chosen(layer, c);
      MoE.Forward reference = c.reference(data).forward(data.x(), c.valid(), c.noise(seed), chosen);

      Map<Integer, Double> gaps = reference.gate().gaps(chosen);
      if (!gaps.isEmpty()) {
        reporter.publishEntry("tokens whose selection differs", gaps.toString());
      }
      assertThat(gaps.values()).allSatisfy(gap -> assertThat(gap).isLessThan(GAP));
      forward(layer, c, reference);
      backward(layer, c, reference.backward(data.dy()));
    }
  }

  private static void forward(OpsLayer layer, LayerCase c, MoE.Forward reference) {
    Matrix gates = Matrix.zeros(c.valid(), c.k());
    int[][] chosen = chosen(layer, c);
    for (int t = 0; t < c.valid(); t++) {
      for (int j = 0; j < c.k(); j++) {
        gates.set(t, j, reference.gate().gates().get(t, chosen[t][j]));
      }
    }
    Close.check("gates", layer.gate.gates, c.valid(), gates);
    Close.check("y", layer.gate.y, c.valid(), reference.y().rows(0, c.valid()));
    Close.check("importance", layer.gate.importance, Matrix.row(reference.importance()));
    Close.check("load", layer.gate.load, Matrix.row(reference.load()));
    Balance balance = layer.gate.balance(layer.run);
    // Of almost equal numbers CV² is ill-conditioned: it is compared for those the device has.
    Close.check(
        "losses",
        Matrix.row(balance.importanceLoss(), balance.loadLoss()),
        Matrix.row(
            LayerCase.IMPORTANCE_LOSS
                * dev.topknot.it.reference.Balance.cvSquared(balance.importance()),
            LayerCase.LOAD_LOSS * dev.topknot.it.reference.Balance.cvSquared(balance.load())));
    long[] counts = new long[c.experts()];
    Arrays.stream(chosen).flatMapToInt(Arrays::stream).forEach(i -> counts[i]++);
    assertThat(balance.tokens()).isEqualTo(counts);
  }

  private static void backward(OpsLayer layer, LayerCase c, Gradients reference) {
    Close.check("dx", layer.gate.dx, c.valid(), reference.x().rows(0, c.valid()));
    Close.check("dGateWeights", layer.gate.dGateWeights, reference.get("gateWeights").transposed());
    if (c.noisy()) {
      Close.check(
          "dNoiseWeights", layer.gate.dNoiseWeights, reference.get("noiseWeights").transposed());
    }
    for (String weight : c.weights()) {
      Close.check(
          "d" + weight,
          layer.experts.gradient(weight),
          LayerCase.stack(
              IntStream.range(0, c.experts())
                  .mapToObj(i -> reference.get("experts." + i + "." + weight))
                  .toList()));
    }
  }

  private static int[][] chosen(OpsLayer layer, LayerCase c) {
    int[] flat = Buffers.read(layer.gate.chosen, c.valid() * c.k());
    return IntStream.range(0, c.valid())
        .mapToObj(t -> Arrays.copyOfRange(flat, t * c.k(), (t + 1) * c.k()))
        .toArray(int[][]::new);
  }

  /** Every gating and several activations: one thread, two threads, and two threads once more. */
  static Stream<LayerCase> reproducible() {
    return Stream.of(
        new LayerCase(33, 33, 40, 64, 2, 24, ActivationFunction.RELU, Gating.NOISY_TOP_K),
        new LayerCase(300, 287, 64, 3, 2, 70, ActivationFunction.GELU, Gating.NOISY_TOP_K),
        new LayerCase(33, 20, 512, 5, 4, 48, ActivationFunction.SWIGLU, Gating.TOP_K),
        new LayerCase(700, 700, 16, 2, 1, 300, ActivationFunction.SIGMOID, Gating.SOFTMAX_TOP_K),
        new LayerCase(7, 7, 8, 4096, 3, 5, ActivationFunction.TANH, Gating.NOISY_TOP_K));
  }

  @ParameterizedTest
  @MethodSource("reproducible")
  void sameBitsForAnyNumberOfThreadsAndEveryTime(LayerCase c) {
    LayerCase.Data data = c.draw(77);
    List<float[]> one = results(c, data, 1);
    for (int time = 0; time < 2; time++) {
      List<float[]> two = results(c, data, 2);
      for (int i = 0; i < one.size(); i++) {
        assertThat(Arrays.equals(two.get(i), one.get(i))).as("result %d", i).isTrue();
      }
    }
  }

  private static List<float[]> results(LayerCase c, LayerCase.Data data, int threads) {
    try (OpsLayer layer = new OpsLayer(c, data, threads)) {
      layer.run(c, 99);
      return layer.results(c);
    }
  }

  @Test
  void noTokensTouchNothing() {
    LayerCase c = new LayerCase(7, 0, 8, 5, 2, 12, ActivationFunction.RELU, Gating.NOISY_TOP_K);
    try (OpsLayer layer = new OpsLayer(c, c.draw(1), 2)) {
      layer.run(c, 1);
      assertThat(Buffers.floats(layer.gate.y)).containsOnly(Float.NaN);
      assertThat(Buffers.floats(layer.gate.dx)).containsOnly(Float.NaN);
      assertThat(Buffers.floats(layer.gate.importance)).containsOnly(0);
      assertThat(Buffers.floats(layer.gate.load)).containsOnly(0);
      assertThat(Buffers.floats(layer.gate.dGateWeights)).containsOnly(0);
      assertThat(Buffers.floats(layer.experts.dW1)).containsOnly(0);
    }
  }
}
