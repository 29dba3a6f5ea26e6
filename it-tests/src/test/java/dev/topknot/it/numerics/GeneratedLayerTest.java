package dev.topknot.it.numerics;

import static dev.topknot.dsl.Gating.NOISY_TOP_K;
import static dev.topknot.dsl.Gating.SOFTMAX;
import static dev.topknot.dsl.Gating.SOFTMAX_TOP_K;
import static dev.topknot.dsl.Gating.TOP_K;
import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Precision;
import dev.topknot.it.numerics.LayerCase.Kind;
import dev.topknot.it.reference.Adam;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Expert;
import dev.topknot.it.reference.Gating;
import dev.topknot.it.reference.Gradients;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.Mixture;
import dev.topknot.it.reference.MoE;
import dev.topknot.it.reference.Pass;
import dev.topknot.it.reference.Products;
import dev.topknot.it.reference.Shared;
import dev.topknot.it.reference.Training;
import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.Noise;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Layers as the processor generates them against the reference, through the public interface. */
class GeneratedLayerTest {
  private static final long SEED = 7;

  /** Where the layers run: results have the same bits on all of them. */
  List<Device> devices() {
    return List.of(Device.cpu(2), Device.cpu(1));
  }

  /** Makes useless what an earlier step left in memory that steps only work in. */
  void poison(Device device) {}

  /** What follows is about this case. */
  void begins(LayerCase c) {}

  /** What the latest forward on a device chose, [tokens, k]; null: it cannot be told. */
  int[][] chosen(int tokens, int k) {
    return null;
  }

  /** What the device does to operands of products: the CPU nothing, whatever the precision. */
  Products products(Precision precision) {
    return Products.EXACT;
  }

  private static final LayerCase SEVEN =
      new LayerCase(7, 5, 40, 5, 2, 24, ActivationFunction.RELU, NOISY_TOP_K);

  /** Several tiles of rows an expert. */
  private static final Generated THREE =
      layer(
          TopknotSpecs_Three::on,
          new LayerCase(150, 131, 70, 3, 2, 33, ActivationFunction.SWIGLU, NOISY_TOP_K));

  private static final Generated TWO_FIFTY_SIX =
      layer(
          TopknotSpecs_TwoFiftySix::on,
          new LayerCase(100, 91, 33, 256, 4, 9, ActivationFunction.RELU, TOP_K));

  private static final Generated SIXTY_FOUR =
      layer(
          TopknotSpecs_SixtyFour::on,
          new LayerCase(33, 33, 40, 64, 4, 17, ActivationFunction.SIGMOID, SOFTMAX_TOP_K));

  /**
   * Of each structure one, and shared ones; a kind is chosen less often than a token has experts.
   */
  private static final Generated KINDS =
      layer(
          TopknotExpertSpecs_Kinds::on,
          new LayerCase(40, 33, 21, 12, 3, 0, null, TOP_K)
              .of(
                  new Kind(5, ActivationFunction.RELU, false),
                  new Kind(1, ActivationFunction.SWIGLU, false),
                  new Kind(6, ActivationFunction.GELU, false),
                  new Kind(2, ActivationFunction.TANH, true)));

  private Balance latest;

  /** Makes a layer. */
  interface Opener {
    dev.topknot.runtime.MoE on(Device device, long seed);
  }

  /** A generated layer, what it was generated from, and the rows it is given. */
  record Generated(Opener opener, LayerCase c, Precision precision) {
    @Override
    public String toString() {
      return c + " " + precision;
    }
  }

  static Stream<Generated> layers() {
    return Stream.of(
        layer(
            TopknotSpecs_OneToken::on,
            new LayerCase(1, 1, 8, 2, 1, 12, ActivationFunction.RELU, SOFTMAX_TOP_K)),
        layer(TopknotSpecs_Seven::on, SEVEN),
        layer(
            TopknotSpecs_Wide::on,
            new LayerCase(33, 33, 512, 5, 3, 40, ActivationFunction.GELU, NOISY_TOP_K)),
        layer(
            TopknotSpecs_Many::on,
            new LayerCase(33, 20, 8, 4096, 4, 2, ActivationFunction.SWIGLU, NOISY_TOP_K)),
        layer(
            TopknotSpecs_ManyWide::on,
            new LayerCase(7, 7, 512, 4096, 2, 2, ActivationFunction.TANH, TOP_K)),
        THREE,
        TWO_FIFTY_SIX,
        SIXTY_FOUR,
        layer(
            TopknotSpecs_Both::on,
            new LayerCase(33, 30, 8, 2, 2, 5, ActivationFunction.IDENTITY, NOISY_TOP_K)),
        layer(
            TopknotSpecs_AllSeven::on,
            new LayerCase(33, 31, 40, 7, 7, 24, ActivationFunction.RELU, SOFTMAX)),
        rounded(TopknotSpecs_RoundedSeven::on, SEVEN),
        rounded(
            TopknotSpecs_Rounded::on,
            new LayerCase(70, 67, 37, 3, 2, 67, ActivationFunction.GELU, SOFTMAX_TOP_K)),
        rounded(
            TopknotSpecs_RoundedGated::on,
            new LayerCase(33, 33, 30, 6, 3, 35, ActivationFunction.SWIGLU, NOISY_TOP_K)),
        rounded(
            TopknotSpecs_RoundedMany::on,
            new LayerCase(140, 133, 40, 130, 2, 8, ActivationFunction.TANH, NOISY_TOP_K)),
        rounded(
            TopknotSpecs_RoundedWide::on,
            new LayerCase(200, 190, 72, 3, 2, 136, ActivationFunction.RELU, NOISY_TOP_K)),
        rounded(
            TopknotSpecs_RoundedWideAgain::on,
            new LayerCase(140, 139, 40, 2, 2, 72, ActivationFunction.RELU, TOP_K)),
        rounded(
            TopknotSpecs_RoundedWideGated::on,
            new LayerCase(150, 150, 136, 2, 1, 40, ActivationFunction.SWIGLU, SOFTMAX_TOP_K)),
        layer(
            TopknotExpertSpecs_Deep::on,
            new LayerCase(33, 29, 40, 5, 2, 0, ActivationFunction.RELU, NOISY_TOP_K)),
        layer(
            TopknotExpertSpecs_DeepFew::on,
            new LayerCase(7, 6, 9, 300, 3, 0, ActivationFunction.GELU, TOP_K)),
        layer(
            TopknotExpertSpecs_DeepOneToken::on,
            new LayerCase(1, 1, 5, 2, 2, 0, ActivationFunction.SIGMOID, SOFTMAX_TOP_K)),
        rounded(
            TopknotExpertSpecs_DeepRounded::on,
            new LayerCase(70, 66, 37, 3, 2, 0, ActivationFunction.GELU, SOFTMAX_TOP_K)),
        layer(
            TopknotExpertSpecs_Recomputed::on,
            new LayerCase(70, 61, 30, 3, 2, 0, ActivationFunction.GELU, NOISY_TOP_K)),
        KINDS,
        layer(
            TopknotExpertSpecs_KindsFew::on,
            new LayerCase(7, 7, 8, 300, 2, 0, null, NOISY_TOP_K)
                .of(
                    new Kind(5, ActivationFunction.RELU, false),
                    new Kind(250, ActivationFunction.SWIGLU, false),
                    new Kind(45, ActivationFunction.TANH, false))),
        layer(
            TopknotExpertSpecs_KindsAll::on,
            new LayerCase(40, 35, 12, 3, 3, 0, null, NOISY_TOP_K)
                .of(
                    new Kind(1, ActivationFunction.GELU, false),
                    new Kind(2, ActivationFunction.RELU, false))),
        rounded(
            TopknotExpertSpecs_KindsRounded::on,
            new LayerCase(80, 77, 33, 6, 2, 0, null, TOP_K)
                .of(
                    new Kind(3, ActivationFunction.SWIGLU, false),
                    new Kind(1, ActivationFunction.GELU, true),
                    new Kind(3, ActivationFunction.RELU, false),
                    new Kind(1, ActivationFunction.SWIGLU, true))),
        rounded(
            TopknotExpertSpecs_KindsWide::on,
            new LayerCase(200, 190, 72, 4, 2, 0, null, TOP_K)
                .of(
                    new Kind(2, ActivationFunction.RELU, false),
                    new Kind(2, ActivationFunction.SWIGLU, false),
                    new Kind(1, ActivationFunction.RELU, true))));
  }

  private static Generated layer(Opener opener, LayerCase c) {
    return new Generated(opener, c, Precision.FP32);
  }

  private static Generated rounded(Opener opener, LayerCase c) {
    return new Generated(opener, c, Precision.BF16);
  }

  @ParameterizedTest
  @MethodSource("layers")
  void forwardAndBackward(Generated generated) {
    LayerCase c = generated.c();
    check(generated, new Draw(c.seed()).normal(c.valid(), c.width(), 1).rounded(), layer -> {});
  }

  /**
   * Nearly all tokens like the last expert best, and their gates are nearly 1: of a logit near 18
   * the other gates are some 1e-8. What fp32 logits cost them is the logit's rounding, 18 · 2^-24 =
   * 1e-6 relative, and so within the tolerance for the gradients as well.
   */
  @ParameterizedTest
  @MethodSource("hot")
  void aHotExpert(Generated generated) {
    LayerCase c = generated.c();
    Matrix x = new Draw(c.seed()).normal(c.valid(), c.width(), 1).rounded();
    for (int t = 0; t < c.valid(); t++) {
      x.set(t, 0, 2);
    }
    int hot = c.experts() - 1;
    check(generated, x, layer -> parameter(layer, "gate.weight").value().set(9, hot, 0));
    assertThat(latest.tokens()[hot]).isBetween(c.valid() * 9L / 10, (long) c.valid());
  }

  static Stream<Generated> hot() {
    return Stream.of(THREE, TWO_FIFTY_SIX);
  }

  /** All logits are equal: the lower index wins, in training too, and most experts are empty. */
  @ParameterizedTest
  @MethodSource("noiseless")
  void ties(Generated generated) {
    LayerCase c = generated.c();
    Matrix x = new Draw(c.seed()).normal(c.valid(), c.width(), 1).rounded();
    check(generated, x, layer -> parameter(layer, "gate.weight").value().fill(0));
    for (int i = 0; i < c.experts(); i++) {
      assertThat(latest.tokens()[i]).as("expert %d", i).isEqualTo(i < c.k() ? c.valid() : 0);
    }
  }

  static Stream<Generated> noiseless() {
    return Stream.of(TWO_FIFTY_SIX, SIXTY_FOUR, KINDS);
  }

  /** Frozen parameters stay, and their gradients do not count for the norm. */
  @ParameterizedTest
  @MethodSource("hot")
  void frozenParameters(Generated generated) {
    LayerCase c = generated.c();
    Matrix x = new Draw(c.seed()).normal(c.valid(), c.width(), 1).rounded();
    check(
        generated,
        x,
        layer -> {
          parameter(layer, "gate.weight").freeze(true);
          parameter(layer, "experts.0.w2").freeze(true);
          parameter(layer, "experts." + (c.experts() - 1) + ".w1").freeze(true);
        });
  }

  private static Parameter parameter(dev.topknot.runtime.MoE layer, String name) {
    return layer.parameters().stream().filter(p -> p.name().equals(name)).findAny().orElseThrow();
  }

  /** Forward, backward, two micro-batches and the update of a layer with parameters of its own. */
  private void check(Generated generated, Matrix x, Consumer<dev.topknot.runtime.MoE> prepare) {
    LayerCase c = generated.c();
    begins(c);
    Products products = products(generated.precision());
    Device device = devices().get(0);
    Matrix dy = new Draw(c.seed() + 1).normal(c.valid(), c.width(), 1).rounded();
    try (dev.topknot.runtime.MoE layer = generated.opener().on(device, SEED);
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, c.valid(), c.width());
        Tensor dys = Values.tensor(device, dy);
        Tensor dxs = Values.poisoned(device, c.valid(), c.width())) {
      Values.draw(layer.parameters(), SEED);
      prepare.accept(layer);
      Values.poisonGradients(layer.parameters());
      MoE moe = reference(c, Values.values(layer.parameters()), products);

      layer.forward(xs, ys);
      MoE.Forward reference = reference(moe, c, x, noise(c, 0));
      latest = layer.balance();
      assertThat(latest.tokens()).isEqualTo(Values.counts(reference.gate().chosen(), c.experts()));
      Close.check("y", Values.matrix(ys), reference.y(), products);
      Close.check(
          "importance", Matrix.row(latest.importance()), Matrix.row(reference.importance()));
      Close.check("load", Matrix.row(latest.load()), Matrix.row(reference.load()));

      layer.backward(dys, dxs);
      Gradients gradients = reference.backward(dy);
      Close.check("dx", Values.matrix(dxs), gradients.x(), products);
      checkGradients(c, Values.gradients(layer.parameters()), gradients, products);

      // A second forward draws noise of its own; its gradients are added.
      poison(device);
      layer.forward(xs, ys);
      MoE.Forward second = reference(moe, c, x, noise(c, c.tokens()));
      layer.accumulate(dys, dxs);
      Gradients more = second.backward(dy);
      Close.check("dx", Values.matrix(dxs), more.x(), products);
      checkGradients(c, Values.gradients(layer.parameters()), sum(gradients, more), products);

      poison(device);
      layer.infer(xs, ys);
      Close.check("inferred y", Values.matrix(ys), reference(moe, c, x, null).y(), products);
      poison(device);
      update(layer);
    }
  }

  /** The reference with the device's selection, which may differ only where experts are level. */
  private MoE.Forward reference(MoE moe, LayerCase c, Matrix x, Matrix noise) {
    int[][] chosen = chosen(c.valid(), c.k());
    MoE.Forward reference = moe.forward(x, c.valid(), noise, chosen);
    if (chosen != null) {
      Map<Integer, Double> flips = reference.gate().gaps(chosen);
      if (!flips.isEmpty()) {
        System.out.printf(Locale.ROOT, "%s: flipped tokens and their gaps: %s%n", c, flips);
      }
      assertThat(flips.values()).as("gaps of flipped tokens").allMatch(gap -> gap < 1e-5);
    }
    return reference;
  }

  /** One step of Adam with the layer's own gradients, clipped. */
  private static void update(dev.topknot.runtime.MoE layer) {
    Map<String, Matrix> before = Values.values(layer.parameters());
    Map<String, Matrix> gradients = Values.gradients(layer.parameters());
    List<Parameter> frozen = layer.parameters().stream().filter(Parameter::frozen).toList();
    frozen.forEach(parameter -> gradients.remove(parameter.name()));
    double norm = Training.globalNorm(gradients.values());
    Update update = Update.of(0.01).withClip(norm / 3);
    double actualNorm = layer.update(update);

    Close.check("norm", Matrix.row(actualNorm), Matrix.row(norm));
    double factor = Training.clippingFactor(gradients.values(), update.clip());
    Values.values(layer.parameters())
        .forEach(
            (name, value) -> {
              Matrix expected = before.get(name);
              Matrix gradient = gradients.get(name);
              if (gradient == null) {
                assertThat(value.data()).as("frozen %s", name).isEqualTo(expected.data());
                return;
              }
              new Adam(0.9, 0.999, 1e-8, expected.rows(), expected.columns())
                  .step(expected, gradient.scaled(factor), update.rate());
              Close.check(name, value, expected);
            });
    assertThat(layer.step()).isEqualTo(1);
  }

  /** As a layer begins: gates of zero, so that noise alone decides, and without it the index. */
  @Test
  void gatesOfZero() {
    LayerCase c = SEVEN;
    Device device = devices().get(0);
    Matrix x = new Draw(1).normal(c.tokens(), c.width(), 1).rounded();
    Matrix dy = new Draw(2).normal(c.tokens(), c.width(), 1).rounded();
    try (dev.topknot.runtime.MoE layer = TopknotSpecs_Seven.on(device, SEED);
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, c.tokens(), c.width());
        Tensor dys = Values.tensor(device, dy);
        Tensor dxs = Values.poisoned(device, c.tokens(), c.width())) {
      MoE moe = reference(c, Values.values(layer.parameters()), Products.EXACT);
      MoE.Forward reference = moe.forward(x, noise(c, 0, c.tokens()));
      layer.forward(xs, ys);
      layer.backward(dys, dxs);
      Close.check("y", Values.matrix(ys), reference.y());
      Gradients gradients = reference.backward(dy);
      Close.check("dx", Values.matrix(dxs), gradients.x());
      checkGradients(c, Values.gradients(layer.parameters()), gradients, Products.EXACT);

      layer.infer(xs, ys);
      MoE.Forward inferred = moe.forward(x, null);
      assertThat(inferred.load()).containsExactly(7, 7, 0, 0, 0);
      Close.check("inferred y", Values.matrix(ys), inferred.y());
    }
  }

  /** Overrides of annotated values reach the generated code. */
  @Test
  void withoutNoiseAndLosses() {
    LayerCase c = SEVEN;
    Device device = devices().get(0);
    Options options = Options.defaults().withNoise(false).withImportanceLoss(0).withLoadLoss(0);
    Matrix x = new Draw(3).normal(c.tokens(), c.width(), 1).rounded();
    Matrix dy = new Draw(4).normal(c.tokens(), c.width(), 1).rounded();
    try (dev.topknot.runtime.MoE layer = TopknotSpecs_Seven.on(device, SEED, options);
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, c.tokens(), c.width());
        Tensor dys = Values.tensor(device, dy);
        Tensor dxs = Values.poisoned(device, c.tokens(), c.width())) {
      Values.draw(layer.parameters(), SEED);
      Values.poisonGradients(layer.parameters());
      Map<String, Matrix> values = Values.values(layer.parameters());
      Gating gate =
          new Gating(Gating.Kind.TOP_K, c.k(), 0, values.get("gate.weight").transposed(), null);
      MoE.Forward reference =
          new MoE(gate, 0, 0, experts(c.kinds(), values, false, Products.EXACT)).forward(x, null);
      layer.forward(xs, ys);
      layer.backward(dys, dxs);
      Close.check("y", Values.matrix(ys), reference.y());
      Gradients gradients = reference.backward(dy);
      Close.check("dx", Values.matrix(dxs), gradients.x());
      Map<String, Matrix> actual = Values.gradients(layer.parameters());
      Close.check("dGate", actual.get("gate.weight"), gradients.get("gateWeights").transposed());
      assertThat(actual.get("noise.weight").data()).containsOnly(0);
    }
  }

  /** What an earlier, larger call left in the workspace does not show. */
  @ParameterizedTest
  @MethodSource("layers")
  void memoryOfAnEarlierCallDoesNotShow(Generated generated) {
    LayerCase c = generated.c();
    Device device = devices().get(0);
    Matrix earlier = new Draw(8).normal(c.tokens(), c.width(), 5);
    Matrix x = new Draw(9).normal(c.valid(), c.width(), 1);
    List<float[]> results = new ArrayList<>();
    for (boolean used : new boolean[] {false, true}) {
      try (dev.topknot.runtime.MoE layer = generated.opener().on(device, SEED);
          Tensor earlierX = Values.tensor(device, earlier);
          Tensor earlierY = device.tensor(c.tokens(), c.width());
          Tensor xs = Values.tensor(device, x);
          Tensor ys = Values.poisoned(device, c.valid(), c.width());
          Tensor dxs = Values.poisoned(device, c.valid(), c.width())) {
        Values.draw(layer.parameters(), SEED);
        if (used) {
          layer.forward(earlierX, earlierY);
          poison(device);
        }
        layer.forward(xs, ys);
        layer.backward(xs, dxs);
        results.add(Values.floats(ys));
        results.add(Values.floats(dxs));
        layer.parameters().forEach(p -> results.add(Values.floats(p.gradient())));
      }
    }
    int half = results.size() / 2;
    for (int i = 0; i < half; i++) {
      assertThat(Arrays.equals(results.get(i), results.get(half + i))).as("result %d", i).isTrue();
    }
  }

  static Stream<Generated> singles() {
    return Stream.of(
        layer(
            TopknotSpecs_Single::on,
            new LayerCase(33, 20, 40, 1, 1, 24, ActivationFunction.RELU, TOP_K)),
        layer(
            TopknotSpecs_SingleGated::on,
            new LayerCase(7, 7, 8, 1, 1, 65, ActivationFunction.SWIGLU, TOP_K)),
        rounded(
            TopknotSpecs_RoundedSingle::on,
            new LayerCase(66, 65, 40, 1, 1, 65, ActivationFunction.RELU, TOP_K)),
        rounded(
            TopknotSpecs_RoundedWideSingle::on,
            new LayerCase(140, 131, 24, 1, 1, 136, ActivationFunction.GELU, TOP_K)),
        rounded(
            TopknotSpecs_RoundedSingleGated::on,
            new LayerCase(7, 7, 9, 1, 1, 34, ActivationFunction.SWIGLU, TOP_K)),
        layer(
            TopknotExpertSpecs_SingleDeep::on,
            new LayerCase(33, 30, 40, 1, 1, 0, ActivationFunction.GELU, TOP_K)),
        rounded(
            TopknotExpertSpecs_SingleDeepRounded::on,
            new LayerCase(66, 65, 9, 1, 1, 0, ActivationFunction.RELU, TOP_K)),
        layer(
            TopknotExpertSpecs_SingleAndShared::on,
            new LayerCase(33, 31, 10, 1, 1, 0, null, TOP_K)
                .of(
                    new Kind(1, ActivationFunction.RELU, false),
                    new Kind(1, ActivationFunction.SWIGLU, true))));
  }

  @ParameterizedTest
  @MethodSource("singles")
  void oneExpertIsAFeedForwardLayer(Generated generated) {
    LayerCase c = generated.c();
    Products products = products(generated.precision());
    Device device = devices().get(0);
    Matrix x = new Draw(1).normal(c.valid(), c.width(), 1).rounded();
    Matrix dy = new Draw(2).normal(c.valid(), c.width(), 1).rounded();
    try (dev.topknot.runtime.MoE layer = generated.opener().on(device, SEED);
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, c.valid(), c.width());
        Tensor dys = Values.tensor(device, dy);
        Tensor dxs = Values.poisoned(device, c.valid(), c.width())) {
      Values.draw(layer.parameters(), SEED);
      Values.poisonGradients(layer.parameters());
      Map<String, Matrix> values = Values.values(layer.parameters());
      Pass reference = single(c, values, products, x);

      layer.forward(xs, ys);
      layer.backward(dys, dxs);
      Close.check("y", Values.matrix(ys), reference.y(), products);
      Gradients gradients = reference.backward(dy);
      Close.check("dx", Values.matrix(dxs), gradients.x(), products);
      Map<String, Matrix> actual = Values.gradients(layer.parameters());
      assertThat(actual.keySet()).isEqualTo(gradients.byName().keySet());
      actual.forEach((name, d) -> Close.check("d" + name, d, gradients.get(name), products));
      layer.infer(xs, ys);
      Close.check("inferred y", Values.matrix(ys), reference.y(), products);
      update(layer);
    }
  }

  /** What is computed again is what was not kept. */
  @ParameterizedTest
  @MethodSource("recomputed")
  void recomputingGivesTheSameBits(Generated recomputed, Generated kept) {
    Device device = devices().get(0);
    assertThat(bits(recomputed, device)).isDeepEqualTo(bits(kept, device));
  }

  static Stream<Arguments> recomputed() {
    LayerCase plain = new LayerCase(70, 61, 30, 3, 2, 0, ActivationFunction.GELU, NOISY_TOP_K);
    LayerCase kinds = new LayerCase(33, 30, 14, 6, 2, 0, null, NOISY_TOP_K);
    LayerCase single = new LayerCase(33, 30, 14, 1, 1, 0, null, TOP_K);
    return Stream.of(
        Arguments.of(
            layer(TopknotExpertSpecs_Recomputed::on, plain),
            layer(TopknotExpertSpecs_NotRecomputed::on, plain)),
        Arguments.of(
            layer(TopknotExpertSpecs_RecomputedKinds::on, kinds),
            layer(TopknotExpertSpecs_NotRecomputedKinds::on, kinds)),
        Arguments.of(
            layer(TopknotExpertSpecs_RecomputedSingle::on, single),
            layer(TopknotExpertSpecs_NotRecomputedSingle::on, single)));
  }

  @ParameterizedTest
  @MethodSource("layers")
  void sameBitsHoweverItRuns(Generated generated) {
    LayerCase c = generated.c();
    List<Device> devices = devices();
    float[][] first = bits(generated, devices.get(0));
    for (int d = 1; d < devices.size(); d++) {
      float[][] other = bits(generated, devices.get(d));
      for (int i = 0; i < first.length; i++) {
        assertThat(Arrays.equals(first[i], other[i]))
            .as("result %d of %s on device %d", i, c, d)
            .isTrue();
      }
    }
  }

  /** Output, input gradient and parameters after two steps. */
  private static float[][] bits(Generated generated, Device device) {
    LayerCase c = generated.c();
    Draw draw = new Draw(c.seed());
    try (dev.topknot.runtime.MoE layer = generated.opener().on(device, SEED);
        Tensor x = Values.tensor(device, draw.normal(c.valid(), c.width(), 1));
        Tensor y = Values.poisoned(device, c.valid(), c.width());
        Tensor dy = Values.tensor(device, draw.normal(c.valid(), c.width(), 1));
        Tensor dx = Values.poisoned(device, c.valid(), c.width())) {
      for (int step = 0; step < 2; step++) {
        layer.forward(x, y);
        layer.backward(dy, dx);
        layer.update(Update.of(0.01));
      }
      return Stream.concat(
              Stream.of(y, dx), layer.parameters().stream().map(parameter -> parameter.value()))
          .map(Values::floats)
          .toArray(float[][]::new);
    }
  }

  private static Matrix noise(LayerCase c, int firstToken) {
    return noise(c, firstToken, c.valid());
  }

  private static Matrix noise(LayerCase c, int firstToken, int tokens) {
    return c.noisy()
        ? LayerCase.noise(
            firstToken, tokens, c.experts(), SEED, 0, Noise.stream(0, Noise.Purpose.GATE, 0))
        : null;
  }

  private static MoE reference(LayerCase c, Map<String, Matrix> values, Products products) {
    return c.reference(
        new LayerCase.Data(
            null,
            null,
            values.get("gate.weight"),
            values.get("noise.weight"),
            experts(c.kinds(), values, false, products),
            experts(c.kinds(), values, true, products)));
  }

  /** Those that the gate chooses from, or those that every token visits. */
  static List<Expert> experts(
      List<Kind> kinds, Map<String, Matrix> values, boolean shared, Products products) {
    List<Expert> experts = new ArrayList<>();
    for (Kind kind : kinds) {
      for (int i = 0; i < kind.count() && kind.shared() == shared; i++) {
        String name = (shared ? "shared." : "experts.") + experts.size();
        List<Matrix> weights = weights(values, name).stream().map(values::get).toList();
        experts.add(Expert.of(kind.activation().name(), weights, products));
      }
    }
    return experts;
  }

  /** The pass of one expert without a gate, and of those that every token visits. */
  private static Pass single(LayerCase c, Map<String, Matrix> values, Products products, Matrix x) {
    Matrix ones = Matrix.zeros(x.rows(), 1);
    Arrays.fill(ones.data(), 1);
    Mixture mixture = new Mixture(x, ones, experts(c.kinds(), values, false, products));
    Pass shared = new Shared(experts(c.kinds(), values, true, products)).forward(x);
    return new Pass() {
      @Override
      public Matrix y() {
        return mixture.y().plus(shared.y());
      }

      @Override
      public Gradients backward(Matrix dy) {
        Gradients own = mixture.backward(dy);
        Gradients others = shared.backward(dy);
        Map<String, Matrix> byName = new HashMap<>(own.byName());
        byName.putAll(others.byName());
        return new Gradients(own.x().plus(others.x()), byName);
      }
    };
  }

  /** The full names of an expert's weights: w1, w2, ... */
  private static List<String> weights(Map<String, Matrix> values, String expert) {
    return IntStream.iterate(1, w -> values.containsKey(expert + ".w" + w), w -> w + 1)
        .mapToObj(w -> expert + ".w" + w)
        .toList();
  }

  private static void checkGradients(
      LayerCase c, Map<String, Matrix> actual, Gradients reference, Products products) {
    Close.check(
        "dGate", actual.get("gate.weight"), reference.get("gateWeights").transposed(), products);
    if (c.noisy()) {
      Close.check(
          "dNoise",
          actual.get("noise.weight"),
          reference.get("noiseWeights").transposed(),
          products);
    }
    checkExperts(c.kinds(), actual, reference.byName(), false, products);
    checkExperts(c.kinds(), actual, reference.byName(), true, products);
  }

  /** The gradients of each weight of a kind of experts, one below the other. */
  static void checkExperts(
      List<Kind> kinds,
      Map<String, Matrix> actual,
      Map<String, Matrix> reference,
      boolean shared,
      Products products) {
    int first = 0;
    for (Kind kind : kinds) {
      if (kind.shared() != shared) {
        continue;
      }
      String prefix = shared ? "shared." : "experts.";
      for (String one : weights(actual, prefix + first)) {
        String weight = one.substring(one.lastIndexOf('.'));
        List<String> names =
            IntStream.range(first, first + kind.count())
                .mapToObj(i -> prefix + i + weight)
                .toList();
        Close.check(
            "d" + one,
            LayerCase.stack(names.stream().map(actual::get).toList()),
            LayerCase.stack(names.stream().map(reference::get).toList()),
            products);
      }
      first += kind.count();
    }
  }

  private static Gradients sum(Gradients a, Gradients b) {
    Map<String, Matrix> byName = new HashMap<>();
    a.byName().forEach((name, g) -> byName.put(name, g.plus(b.get(name))));
    return new Gradients(a.x().plus(b.x()), byName);
  }
}
