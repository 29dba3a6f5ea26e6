package dev.topknot.it.numerics;

import static dev.topknot.dsl.ActivationFunction.GELU;
import static dev.topknot.dsl.ActivationFunction.RELU;
import static dev.topknot.dsl.ActivationFunction.SWIGLU;
import static dev.topknot.dsl.Precision.BF16;
import static dev.topknot.dsl.Precision.FP32;
import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Precision;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Expert;
import dev.topknot.it.reference.Gating;
import dev.topknot.it.reference.Gradients;
import dev.topknot.it.reference.HierarchicalMoE;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.MoE;
import dev.topknot.it.reference.Products;
import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.Noise;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Layers with two levels of gates as the processor generates them, against the reference. */
class GeneratedHierarchyTest {
  private static final long SEED = 11;
  private static final double IMPORTANCE = LayerCase.IMPORTANCE_LOSS;
  private static final double LOAD = LayerCase.LOAD_LOSS;

  /** Where the layers run: results have the same bits on all of them. */
  List<Device> devices() {
    return List.of(Device.cpu(2), Device.cpu(1));
  }

  /** Makes useless what an earlier step left in memory that steps only work in. */
  void poison(Device device) {}

  /** What follows has calls of so many pairs of tokens and experts. */
  void begins(int pairs) {}

  /** What the latest forward on a device chose, [tokens, k]; null: it cannot be told. */
  int[][] chosen(int tokens, int k) {
    return null;
  }

  /** What the device does to operands of products: the CPU nothing, whatever the precision. */
  Products products(Precision precision) {
    return Products.EXACT;
  }

  /** Makes a layer. */
  interface Opener {
    dev.topknot.runtime.MoE on(Device device, long seed, Options options);
  }

  /**
   * A generated layer and the shape it was generated from.
   *
   * @param valid rows that it is given
   * @param k experts a token in each of its groups
   */
  record Generated(
      Opener opener,
      int tokens,
      int valid,
      int width,
      int experts,
      int k,
      int groups,
      int primaryK,
      ActivationFunction activation,
      Precision precision) {
    int size() {
      return experts / groups;
    }

    List<String> weights() {
      return activation == ActivationFunction.SWIGLU
          ? List.of("w1", "w2", "w3")
          : List.of("w1", "w2");
    }

    Matrix x() {
      return new Draw(experts + valid).normal(valid, width, 1).rounded();
    }

    Matrix dy() {
      return new Draw(2 + experts + valid).normal(valid, width, 1).rounded();
    }

    @Override
    public String toString() {
      return "%d of %d tokens, %d of %d groups, %d of %d experts, %s"
          .formatted(valid, tokens, primaryK, groups, k, size(), precision);
    }
  }

  // spotless:off
  private static final Generated THREE_GROUPS =
      new Generated(TopknotSpecs_ThreeGroups::on, 33, 29, 37, 12, 2, 3, 2, RELU, FP32);
  private static final Generated WHOLE_GROUPS =
      new Generated(TopknotSpecs_WholeGroups::on, 150, 131, 30, 15, 3, 5, 2, SWIGLU, FP32);
  private static final Generated ALL_OF_ALL =
      new Generated(TopknotSpecs_AllOfAll::on, 20, 20, 16, 6, 3, 2, 2, RELU, FP32);

  static Stream<Generated> layers() {
    return Stream.of(
        THREE_GROUPS,
        WHOLE_GROUPS,
        ALL_OF_ALL,
        new Generated(TopknotSpecs_OneTokenInGroups::on, 1, 1, 8, 12, 2, 3, 2, RELU, FP32),
        new Generated(TopknotSpecs_BothGroups::on, 70, 67, 40, 10, 2, 2, 2, GELU, FP32),
        new Generated(TopknotSpecs_SixteenGroups::on, 7, 5, 12, 4096, 2, 16, 1, RELU, FP32),
        new Generated(TopknotSpecs_RoundedGroups::on, 300, 270, 20, 8, 1, 4, 2, RELU, BF16));
  }
  // spotless:on

  @ParameterizedTest
  @MethodSource("layers")
  void forwardAndBackward(Generated g) {
    check(g, g.x(), layer -> {});
  }

  /** All tokens prefer the last groups by far, so that others are empty. */
  @ParameterizedTest
  @MethodSource("severalTiles")
  void emptyGroups(Generated g) {
    Matrix x = g.x();
    for (int t = 0; t < g.valid(); t++) {
      x.set(t, 0, 2);
    }
    Balance balance =
        check(
            g,
            x,
            layer -> {
              Tensor weight = parameter(layer, "gate.weight").value();
              for (int i = g.groups() - g.primaryK(); i < g.groups(); i++) {
                weight.set(20, i, 0);
              }
            });
    int empty = g.experts() - g.primaryK() * g.size();
    assertThat(Arrays.copyOf(balance.tokens(), empty)).containsOnly(0);
    assertThat(Arrays.copyOf(balance.load(), empty)).containsOnly(0);
  }

  static Stream<Generated> severalTiles() {
    return Stream.of(THREE_GROUPS, WHOLE_GROUPS);
  }

  /** Forward, backward, a second micro-batch, inference and the balance. */
  private Balance check(Generated g, Matrix x, Consumer<dev.topknot.runtime.MoE> prepare) {
    begins(g.valid() * g.k() * g.primaryK());
    Products products = products(g.precision());
    Device device = devices().get(0);
    Matrix dy = g.dy();
    try (dev.topknot.runtime.MoE layer = g.opener().on(device, SEED, Options.defaults());
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, g.valid(), g.width());
        Tensor dys = Values.tensor(device, dy);
        Tensor dxs = Values.poisoned(device, g.valid(), g.width())) {
      Values.draw(layer.parameters(), SEED);
      prepare.accept(layer);
      Values.poisonGradients(layer.parameters());
      HierarchicalMoE moe = reference(g, Values.values(layer.parameters()), products);

      layer.forward(xs, ys);
      HierarchicalMoE.Forward reference = forward(g, moe, x, 0);
      Balance balance = layer.balance();
      assertThat(balance.tokens()).isEqualTo(reference.counts());
      Close.check("y", Values.matrix(ys), reference.y(), products);
      Close.check(
          "importance", Matrix.row(balance.importance()), Matrix.row(reference.importance()));
      Close.check("load", Matrix.row(balance.load()), Matrix.row(reference.load()));
      Close.check(
          "losses",
          Matrix.row(balance.importanceLoss(), balance.loadLoss()),
          Matrix.row(
              IMPORTANCE * dev.topknot.it.reference.Balance.cvSquared(balance.importance()),
              LOAD * dev.topknot.it.reference.Balance.cvSquared(balance.load())));

      layer.backward(dys, dxs);
      Gradients gradients = reference.backward(dy);
      Close.check("dx", Values.matrix(dxs), gradients.x(), products);
      checkGradients(g, Values.gradients(layer.parameters()), List.of(gradients), products);

      // A second forward draws noise of its own; its gradients are added.
      poison(device);
      layer.forward(xs, ys);
      HierarchicalMoE.Forward second = forward(g, moe, x, g.tokens());
      layer.accumulate(dys, dxs);
      Gradients more = second.backward(dy);
      Close.check("dx", Values.matrix(dxs), more.x(), products);
      checkGradients(g, Values.gradients(layer.parameters()), List.of(gradients, more), products);

      poison(device);
      layer.infer(xs, ys);
      Close.check(
          "inferred y",
          Values.matrix(ys),
          moe.forward(x, null, null, chosen(g.valid(), g.k() * g.primaryK())).y(),
          products);
      return balance;
    }
  }

  /** The reference with the device's selection, which may differ only where choices are level. */
  private HierarchicalMoE.Forward forward(
      Generated g, HierarchicalMoE moe, Matrix x, int firstToken) {
    int[][] chosen = chosen(g.valid(), g.k() * g.primaryK());
    List<Matrix> secondaryNoise =
        IntStream.range(0, g.groups())
            .mapToObj(i -> noise(firstToken, g.valid(), g.size(), i + 1))
            .toList();
    Matrix primaryNoise = noise(firstToken, g.valid(), g.groups(), 0);
    HierarchicalMoE.Forward reference = moe.forward(x, primaryNoise, secondaryNoise, chosen);
    if (chosen != null) {
      List<Double> flips = reference.gaps(chosen);
      if (!flips.isEmpty()) {
        System.out.printf(Locale.ROOT, "%s: gaps of flipped tokens: %s%n", g, flips);
      }
      assertThat(flips).as("gaps of flipped tokens").allMatch(gap -> gap < 1e-5);
    }
    return reference;
  }

  private static Matrix noise(int firstToken, int tokens, int choices, int gate) {
    return LayerCase.noise(
        firstToken, tokens, choices, SEED, 0, Noise.stream(0, Noise.Purpose.GATE, gate));
  }

  private static Parameter parameter(dev.topknot.runtime.MoE layer, String name) {
    return layer.parameters().stream().filter(p -> p.name().equals(name)).findAny().orElseThrow();
  }

  private static HierarchicalMoE reference(
      Generated g, Map<String, Matrix> values, Products products) {
    return new HierarchicalMoE(
        gate(values, "", g.primaryK()),
        IntStream.range(0, g.groups())
            .mapToObj(i -> gate(values, "groups." + i + ".", g.k()))
            .toList(),
        IMPORTANCE,
        LOAD,
        experts(g, values, products));
  }

  private static Gating gate(Map<String, Matrix> values, String prefix, int k) {
    return new Gating(
        Gating.Kind.NOISY_TOP_K,
        k,
        (float) LayerCase.NOISE_FLOOR,
        values.get(prefix + "gate.weight").transposed(),
        values.get(prefix + "noise.weight").transposed());
  }

  private static List<Expert> experts(Generated g, Map<String, Matrix> values, Products products) {
    return IntStream.range(0, g.experts())
        .mapToObj(
            i ->
                Expert.of(
                    g.activation().name(),
                    g.weights().stream().map(w -> values.get("experts." + i + "." + w)).toList(),
                    products))
        .toList();
  }

  private static void checkGradients(
      Generated g, Map<String, Matrix> actual, List<Gradients> parts, Products products) {
    for (String weight : List.of("gate", "noise")) {
      Close.check(
          "d" + weight,
          actual.get(weight + ".weight"),
          sum(parts, "primary." + weight + "Weights").transposed(),
          products);
      // of all groups, as that of a group of a token or two can be tiny beside its terms
      Close.check(
          "d" + weight + " of groups",
          LayerCase.stack(
              IntStream.range(0, g.groups())
                  .mapToObj(i -> actual.get("groups." + i + "." + weight + ".weight"))
                  .toList()),
          LayerCase.stack(
              IntStream.range(0, g.groups())
                  .mapToObj(i -> sum(parts, "secondary." + i + "." + weight + "Weights"))
                  .map(Matrix::transposed)
                  .toList()),
          products);
    }
    for (String weight : g.weights()) {
      List<String> names =
          IntStream.range(0, g.experts()).mapToObj(i -> "experts." + i + "." + weight).toList();
      Close.check(
          "d" + weight,
          LayerCase.stack(names.stream().map(actual::get).toList()),
          LayerCase.stack(names.stream().map(name -> sum(parts, name)).toList()),
          products);
    }
  }

  private static Matrix sum(List<Gradients> parts, String name) {
    return parts.stream().map(it -> it.get(name)).reduce(Matrix::plus).orElseThrow();
  }

  /** As a layer begins: gates of zero, so that without noise the lowest groups and experts win. */
  @Test
  void gatesOfZero() {
    Generated g = THREE_GROUPS;
    Device device = devices().get(0);
    try (dev.topknot.runtime.MoE layer = g.opener().on(device, SEED, Options.defaults());
        Tensor xs = Values.tensor(device, g.x());
        Tensor ys = Values.poisoned(device, g.valid(), g.width())) {
      HierarchicalMoE moe = reference(g, Values.values(layer.parameters()), Products.EXACT);
      layer.infer(xs, ys);
      HierarchicalMoE.Forward reference = moe.forward(g.x(), null, null, null);
      assertThat(reference.load()).containsExactly(29, 29, 0, 0, 29, 29, 0, 0, 0, 0, 0, 0);
      Close.check("inferred y", Values.matrix(ys), reference.y());
      layer.forward(xs, ys);
      Close.check("y", Values.matrix(ys), forwardOwn(g, moe).y());
    }
  }

  private static HierarchicalMoE.Forward forwardOwn(Generated g, HierarchicalMoE moe) {
    return moe.forward(
        g.x(),
        noise(0, g.valid(), g.groups(), 0),
        IntStream.range(0, g.groups())
            .mapToObj(i -> noise(0, g.valid(), g.size(), i + 1))
            .toList());
  }

  /**
   * Without noise, a hierarchy that keeps everything is a flat layer of everything: its gate is a
   * softmax over sums of logits. With equal secondary weights it is the primary's alone, shared
   * equally among the experts of a group.
   */
  @Test
  void aHierarchyThatKeepsEverythingIsAFlatLayer() {
    Generated g = ALL_OF_ALL;
    Device device = devices().get(0);
    Options options = Options.defaults().withNoise(false).withImportanceLoss(0).withLoadLoss(0);
    Matrix x = g.x();
    Matrix dy = g.dy();
    try (dev.topknot.runtime.MoE layer = g.opener().on(device, SEED, options);
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, g.valid(), g.width());
        Tensor dys = Values.tensor(device, dy);
        Tensor dxs = Values.poisoned(device, g.valid(), g.width())) {
      Values.draw(layer.parameters(), SEED);
      Matrix shared = Values.matrix(parameter(layer, "groups.0.gate.weight").value()).rows(0, 1);
      for (int i = 0; i < g.groups(); i++) {
        parameter(layer, "groups." + i + ".gate.weight")
            .value()
            .copyFrom(LayerCase.stack(List.of(shared, shared, shared)).toFloats());
      }
      Values.poisonGradients(layer.parameters());
      Map<String, Matrix> values = Values.values(layer.parameters());
      Matrix primary = values.get("gate.weight");
      Matrix flat =
          LayerCase.stack(
              IntStream.range(0, g.experts())
                  .mapToObj(e -> primary.rows(e / g.size(), e / g.size() + 1))
                  .toList());
      Gating gate = new Gating(Gating.Kind.TOP_K, g.experts(), 0, flat.transposed(), null);
      MoE.Forward reference =
          new MoE(gate, 0, 0, experts(g, values, Products.EXACT)).forward(x, null);
      layer.forward(xs, ys);
      Close.check("y", Values.matrix(ys), reference.y());
      layer.backward(dys, dxs);
      Gradients gradients = reference.backward(dy);
      Map<String, Matrix> actual = Values.gradients(layer.parameters());
      Matrix dFlat = gradients.get("gateWeights").transposed();
      Close.check(
          "dGate",
          actual.get("gate.weight"),
          LayerCase.stack(
              List.of(
                  dFlat.rows(0, 1).plus(dFlat.rows(1, 2)).plus(dFlat.rows(2, 3)),
                  dFlat.rows(3, 4).plus(dFlat.rows(4, 5)).plus(dFlat.rows(5, 6)))));
      Close.check("dw1", actual.get("experts.4.w1"), gradients.get("experts.4.w1"));
      assertThat(actual.get("noise.weight").data()).containsOnly(0);
      assertThat(actual.get("groups.1.noise.weight").data()).containsOnly(0);
    }
  }

  /** Without noise, load is the number of tokens to the last. */
  @Test
  void withoutNoiseLoadIsACount() {
    Generated g = WHOLE_GROUPS;
    Device device = devices().get(0);
    Options options = Options.defaults().withNoise(false);
    try (dev.topknot.runtime.MoE layer = g.opener().on(device, SEED, options);
        Tensor xs = Values.tensor(device, g.x());
        Tensor ys = Values.poisoned(device, g.valid(), g.width())) {
      Values.draw(layer.parameters(), SEED);
      layer.forward(xs, ys);
      Balance balance = layer.balance();
      assertThat(balance.load())
          .isEqualTo(Arrays.stream(balance.tokens()).asDoubleStream().toArray());
    }
  }

  /** Frozen parameters stay, and a step moves the others. */
  @Test
  void frozenGates() {
    Generated g = THREE_GROUPS;
    Device device = devices().get(0);
    try (dev.topknot.runtime.MoE layer = g.opener().on(device, SEED, Options.defaults());
        Tensor xs = Values.tensor(device, g.x());
        Tensor ys = Values.poisoned(device, g.valid(), g.width());
        Tensor dys = Values.tensor(device, g.dy());
        Tensor dxs = Values.poisoned(device, g.valid(), g.width())) {
      Values.draw(layer.parameters(), SEED);
      parameter(layer, "gate.weight").freeze(true);
      parameter(layer, "groups.1.gate.weight").freeze(true);
      Map<String, Matrix> before = Values.values(layer.parameters());
      layer.forward(xs, ys);
      layer.backward(dys, dxs);
      layer.update(Update.of(0.01));
      Values.values(layer.parameters())
          .forEach(
              (name, value) -> {
                boolean frozen = name.equals("gate.weight") || name.equals("groups.1.gate.weight");
                assertThat(Arrays.equals(value.data(), before.get(name).data()))
                    .as(name)
                    .isEqualTo(frozen);
              });
    }
  }

  /** What an earlier, larger call left in the workspace does not show; nor do threads. */
  @ParameterizedTest
  @MethodSource("layers")
  void sameBitsHoweverItRuns(Generated g) {
    List<float[]> first = null;
    for (Device device : devices()) {
      for (boolean used : new boolean[] {false, true}) {
        List<float[]> bits = bits(g, device, used);
        first = first == null ? bits : first;
        for (int i = 0; i < first.size(); i++) {
          assertThat(Arrays.equals(bits.get(i), first.get(i))).as("result %d of %s", i, g).isTrue();
        }
      }
    }
  }

  private List<float[]> bits(Generated g, Device device, boolean used) {
    List<float[]> results = new ArrayList<>();
    try (dev.topknot.runtime.MoE layer = g.opener().on(device, SEED, Options.defaults());
        Tensor earlierX = Values.tensor(device, new Draw(8).normal(g.tokens(), g.width(), 5));
        Tensor earlierY = device.tensor(g.tokens(), g.width());
        Tensor xs = Values.tensor(device, g.x());
        Tensor ys = Values.poisoned(device, g.valid(), g.width());
        Tensor dys = Values.tensor(device, g.dy());
        Tensor dxs = Values.poisoned(device, g.valid(), g.width())) {
      Values.draw(layer.parameters(), SEED);
      if (used) {
        layer.infer(earlierX, earlierY);
        poison(device);
      }
      for (int step = 0; step < 2; step++) {
        layer.forward(xs, ys);
        layer.backward(dys, dxs);
        layer.update(Update.of(0.01));
        results.add(Values.floats(ys));
        results.add(Values.floats(dxs));
      }
      layer.parameters().forEach(p -> results.add(Values.floats(p.value())));
    }
    return results;
  }
}
