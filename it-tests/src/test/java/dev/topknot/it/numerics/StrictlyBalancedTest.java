package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Gating;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Precision;
import dev.topknot.dsl.Softmax;
import dev.topknot.it.numerics.LayerCase.Kind;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Gradients;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.Pass;
import dev.topknot.it.reference.Products;
import dev.topknot.it.reference.SoftmaxLoss;
import dev.topknot.it.reference.StrictlyBalancedMoE;
import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.EvaluationOverflowException;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Strictly balanced layers as generated against the reference, through the public interface. */
class StrictlyBalancedTest {
  private static final long SEED = 5;

  /** Where the layers run: results have the same bits on all of them. */
  List<Device> devices() {
    return List.of(Device.cpu(2), Device.cpu(1));
  }

  /** Makes useless what an earlier step left in memory that steps only work in. */
  void poison(Device device) {}

  /** What the device does to operands of products: the CPU nothing, whatever the precision. */
  Products products(Precision precision) {
    return Products.EXACT;
  }

  @MoELayer(
      experts = 4,
      k = 2,
      width = 40,
      tokens = 10,
      gating = Gating.STRICTLY_BALANCED,
      threshold = 0.25)
  @Expert(hidden = 24)
  interface Ten extends MoE {}

  @MoELayer(
      experts = 2,
      k = 2,
      width = 8,
      tokens = 1,
      gating = Gating.STRICTLY_BALANCED,
      thresholdLoss = 3)
  @Expert(hidden = 5, activation = ActivationFunction.TANH)
  interface OneToken extends MoE {}

  /** As many experts as pairs. */
  @MoELayer(
      experts = 18,
      k = 3,
      width = 9,
      tokens = 6,
      gating = Gating.STRICTLY_BALANCED,
      thresholdLoss = 0)
  @Expert(hidden = 7, activation = ActivationFunction.SWIGLU)
  interface OneEach extends MoE {}

  @MoELayer(experts = 5, k = 5, width = 33, tokens = 33, gating = Gating.STRICTLY_BALANCED)
  @Expert(hidden = 65, activation = ActivationFunction.GELU)
  interface All extends MoE {}

  /** Several tiles of rows an expert. */
  @MoELayer(experts = 3, k = 2, width = 70, tokens = 150, gating = Gating.STRICTLY_BALANCED)
  @Expert(hidden = 33, activation = ActivationFunction.SWIGLU)
  interface Three extends MoE {}

  @MoELayer(
      experts = 150,
      k = 3,
      width = 140,
      tokens = 100,
      gating = Gating.STRICTLY_BALANCED,
      evaluationK = 120)
  @Expert(hidden = 3, activation = ActivationFunction.SIGMOID)
  interface Many extends MoE {}

  @MoELayer(
      experts = 8,
      k = 2,
      width = 12,
      tokens = 24,
      gating = Gating.STRICTLY_BALANCED,
      evaluationK = 4,
      thresholdLoss = 0.5)
  @Expert(hidden = 17)
  interface Bounded extends MoE {}

  @MoELayer(
      experts = 6,
      k = 2,
      width = 30,
      tokens = 69,
      gating = Gating.STRICTLY_BALANCED,
      precision = Precision.BF16)
  @Expert(hidden = 35)
  interface Rounded extends MoE {}

  @MoELayer(
      experts = 4,
      k = 2,
      width = 37,
      tokens = 34,
      gating = Gating.STRICTLY_BALANCED,
      precision = Precision.BF16)
  @Expert(hidden = 67, activation = ActivationFunction.SWIGLU)
  interface RoundedGated extends MoE {}

  /** Experts of three kinds. */
  @MoELayer(
      experts = 8,
      k = 2,
      width = 21,
      tokens = 36,
      gating = Gating.STRICTLY_BALANCED,
      evaluationK = 7)
  @Expert(count = 3, hidden = 24)
  @Expert(count = 1, hidden = 33, activation = ActivationFunction.SWIGLU)
  @Expert(hidden = 10, activation = ActivationFunction.GELU)
  interface Kinds extends MoE {}

  /** Makes a layer. */
  interface Opener {
    MoE on(Device device, long seed);
  }

  /**
   * A generated layer and what it was generated from.
   *
   * @param valid rows that it is given
   */
  record Generated(
      Opener opener,
      int tokens,
      int valid,
      int width,
      int experts,
      int k,
      List<Kind> kinds,
      double thresholdLoss,
      Precision precision) {
    /** All experts are alike. */
    Generated(
        Opener opener,
        int tokens,
        int valid,
        int width,
        int experts,
        int k,
        String activation,
        double thresholdLoss,
        Precision precision) {
      this(
          opener,
          tokens,
          valid,
          width,
          experts,
          k,
          List.of(new Kind(experts, ActivationFunction.valueOf(activation), false)),
          thresholdLoss,
          precision);
    }

    int kept() {
      return k * valid / experts;
    }

    @Override
    public String toString() {
      return "%d of %d tokens, %d experts, k = %d, %s"
          .formatted(valid, tokens, experts, k, precision);
    }
  }

  private static Generated ten(int valid) {
    return new Generated(
        TopknotStrictlyBalancedTest_Ten::on, 10, valid, 40, 4, 2, "RELU", 1, Precision.FP32);
  }

  private static Generated three(int valid) {
    return new Generated(
        TopknotStrictlyBalancedTest_Three::on, 150, valid, 70, 3, 2, "SWIGLU", 1, Precision.FP32);
  }

  private static final Generated BOUNDED =
      new Generated(
          TopknotStrictlyBalancedTest_Bounded::on, 24, 24, 12, 8, 2, "RELU", 0.5, Precision.FP32);

  private static Generated kinds(int valid) {
    return new Generated(
        TopknotStrictlyBalancedTest_Kinds::on,
        36,
        valid,
        21,
        8,
        2,
        List.of(
            new Kind(3, ActivationFunction.RELU, false),
            new Kind(1, ActivationFunction.SWIGLU, false),
            new Kind(4, ActivationFunction.GELU, false)),
        1,
        Precision.FP32);
  }

  private static final Generated ALL =
      new Generated(
          TopknotStrictlyBalancedTest_All::on, 33, 31, 33, 5, 5, "GELU", 1, Precision.FP32);

  static Stream<Generated> layers() {
    return Stream.of(
        ten(10),
        ten(7),
        ten(1), // which no expert keeps
        new Generated(
            TopknotStrictlyBalancedTest_OneToken::on, 1, 1, 8, 2, 2, "TANH", 3, Precision.FP32),
        new Generated(
            TopknotStrictlyBalancedTest_OneEach::on, 6, 6, 9, 18, 3, "SWIGLU", 0, Precision.FP32),
        ALL,
        three(150),
        three(131),
        new Generated(
            TopknotStrictlyBalancedTest_Many::on,
            100,
            99,
            140,
            150,
            3,
            "SIGMOID",
            1,
            Precision.FP32),
        BOUNDED,
        kinds(36),
        kinds(29),
        new Generated(
            TopknotStrictlyBalancedTest_Rounded::on, 69, 66, 30, 6, 2, "RELU", 1, Precision.BF16),
        new Generated(
            TopknotStrictlyBalancedTest_RoundedGated::on,
            34,
            34,
            37,
            4,
            2,
            "SWIGLU",
            1,
            Precision.BF16));
  }

  @ParameterizedTest
  @MethodSource("layers")
  void forwardAndBackward(Generated g) {
    check(g, new Draw(g.valid()).normal(g.valid(), g.width(), 1).rounded());
  }

  /** Tokens come in equal threes: of a three that is kept in part, the first are. */
  @ParameterizedTest
  @MethodSource("tied")
  void ties(Generated g) {
    Matrix x = new Draw(g.valid()).normal(g.valid(), g.width(), 1).rounded();
    for (int t = 0; t < g.valid(); t++) {
      for (int j = 0; j < g.width(); j++) {
        x.set(t, j, x.get(t / 3 * 3, j));
      }
    }
    check(g, x);
  }

  static Stream<Generated> tied() {
    return Stream.of(ten(10), ten(7), three(131), ALL, kinds(36));
  }

  private void check(Generated g, Matrix x) {
    Products products = products(g.precision());
    Device device = devices().get(0);
    Matrix dy = new Draw(g.valid() + 1).normal(g.valid(), g.width(), 1).rounded();
    try (MoE layer = g.opener().on(device, SEED);
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, g.valid(), g.width());
        Tensor dys = Values.tensor(device, dy);
        Tensor dxs = Values.poisoned(device, g.valid(), g.width())) {
      draw(layer, g.experts());
      Values.poisonGradients(layer.parameters());
      StrictlyBalancedMoE moe = reference(g, Values.values(layer.parameters()), products);
      StrictlyBalancedMoE.Forward reference = moe.train(x);

      layer.forward(xs, ys);
      checkBalance(layer.balance(), reference);
      assertThat(layer.balance().tokens()).containsOnly(g.kept());
      Close.check("y", Values.matrix(ys), reference.y(), products);
      layer.backward(dys, dxs);
      Gradients gradients = reference.backward(dy);
      Close.check("dx", Values.matrix(dxs), gradients.x(), products);
      checkGradients(g, layer, gradients, 1, products);

      poison(device);
      layer.forward(xs, ys);
      layer.accumulate(dys, dxs);
      Close.check("dx", Values.matrix(dxs), gradients.x(), products);
      checkGradients(g, layer, gradients, 2, products);

      poison(device);
      layer.infer(xs, ys);
      Close.check("inferred y", Values.matrix(ys), moe.evaluate(x).y(), products);
      layer.update(Update.of(0.01));
    }
  }

  private static void checkBalance(Balance balance, StrictlyBalancedMoE.Forward reference) {
    Matrix mask = reference.mask();
    assertThat(balance.load()).isEqualTo(mask.columnSums().data());
    assertThat(balance.maxOverMeanLoad()).isEqualTo(1);
    assertThat(balance.importanceLoss()).isZero();
    assertThat(balance.loadLoss()).isZero();
    assertThat(balance.droppedTokens())
        .isEqualTo(
            IntStream.range(0, mask.rows()).filter(t -> mask.rows(t, t + 1).norm() == 0).count());
    Close.check("importance", Matrix.row(balance.importance()), reference.gates().columnSums());
  }

  private static void checkGradients(
      Generated g, MoE layer, Gradients gradients, double times, Products products) {
    Map<String, Matrix> actual = Values.gradients(layer.parameters());
    Close.check(
        "dGate",
        actual.get("gate.weight"),
        gradients.get("gateWeights").transposed().scaled(times),
        products);
    assertThat(actual.get("gate.threshold").map(d -> d + 0.0).data()) // −0 is 0
        .isEqualTo(gradients.get("thresholds").scaled(times).map(d -> d + 0.0).data());
    Map<String, Matrix> expected = new HashMap<>();
    gradients.byName().forEach((name, d) -> expected.put(name, d.scaled(times)));
    GeneratedLayerTest.checkExperts(g.kinds(), actual, expected, false, products);
  }

  /** Parameters of its own, thresholds about where half of the tokens exceed them. */
  private static void draw(MoE layer, int experts) {
    Values.draw(layer.parameters(), SEED);
    float[] thresholds = new float[experts];
    double[] normal = new Draw(SEED).normal(1, experts, 0.2).data();
    for (int i = 0; i < experts; i++) {
      thresholds[i] = (float) ((1 + normal[i]) / experts);
    }
    parameter(layer, "gate.threshold").value().copyFrom(thresholds);
  }

  private static Parameter parameter(MoE layer, String name) {
    return layer.parameters().stream().filter(p -> p.name().equals(name)).findAny().orElseThrow();
  }

  private static StrictlyBalancedMoE reference(
      Generated g, Map<String, Matrix> values, Products products) {
    return new StrictlyBalancedMoE(
        g.k(),
        values.get("gate.weight").transposed(),
        values.get("gate.threshold").data(),
        g.thresholdLoss(),
        GeneratedLayerTest.experts(g.kinds(), values, false, products));
  }

  /** Gates begin at zero: all tokens are equal, and the first are kept by all experts. */
  @Test
  void firstStep() {
    Generated g = ten(10);
    Device device = devices().get(0);
    Matrix x = new Draw(1).normal(10, 40, 1).rounded();
    try (MoE layer = g.opener().on(device, SEED);
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, 10, 40);
        Tensor dxs = Values.poisoned(device, 10, 40)) {
      assertThat(Values.floats(parameter(layer, "gate.threshold").value())).containsOnly(0.25f);
      StrictlyBalancedMoE.Forward reference =
          reference(g, Values.values(layer.parameters()), Products.EXACT).train(x);
      layer.forward(xs, ys);
      checkBalance(layer.balance(), reference);
      assertThat(layer.balance().droppedTokens()).isEqualTo(5);
      Close.check("y", Values.matrix(ys), reference.y());
      assertThat(Arrays.copyOfRange(Values.floats(ys), 5 * 40, 10 * 40)).containsOnly(0);
      layer.backward(xs, dxs);
      Gradients gradients = reference.backward(x);
      Close.check("dx", Values.matrix(dxs), gradients.x());
      checkGradients(g, layer, gradients, 1, Products.EXACT);
    }
  }

  /** Thresholds that all tokens exceed at all experts, or none at any. */
  @Test
  void evaluationOfAllAndOfNone() {
    Generated g = ALL;
    Device device = devices().get(0);
    Matrix x = new Draw(2).normal(g.valid(), g.width(), 1).rounded();
    try (MoE layer = g.opener().on(device, SEED);
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, g.valid(), g.width())) {
      draw(layer, g.experts());
      parameter(layer, "gate.threshold").value().fill(0);
      StrictlyBalancedMoE.Forward all =
          reference(g, Values.values(layer.parameters()), Products.EXACT).evaluate(x);
      assertThat(all.mask().data()).containsOnly(1);
      layer.infer(xs, ys);
      Close.check("y", Values.matrix(ys), all.y());

      parameter(layer, "gate.threshold").value().fill(1);
      poison(device);
      ys.fill(Float.NaN);
      layer.infer(xs, ys);
      assertThat(Values.floats(ys)).containsOnly(0);
    }
  }

  /** More than there is room for is an exception, and the next call is as if nothing had been. */
  @Test
  void overflow() {
    Generated g = BOUNDED;
    Device device = devices().get(0);
    Matrix x = new Draw(3).normal(g.valid(), g.width(), 1).rounded();
    try (MoE layer = g.opener().on(device, SEED);
        Tensor xs = Values.tensor(device, x);
        Tensor ys = Values.poisoned(device, g.valid(), g.width())) {
      draw(layer, g.experts());
      Map<String, Matrix> before = Values.values(layer.parameters());
      float[] thresholds = Values.floats(parameter(layer, "gate.threshold").value());
      parameter(layer, "gate.threshold").value().fill(0);
      assertThatExceptionOfType(EvaluationOverflowException.class)
          .isThrownBy(() -> layer.infer(xs, ys))
          .satisfies(
              e -> {
                assertThat(e.pairs()).isEqualTo(24 * 8);
                assertThat(e.room()).isEqualTo(24 * 4);
                assertThat(e.layer()).isEmpty();
              })
          .withMessage(
              "192 pairs of tokens and experts exceed the thresholds, but evaluationK = 4 has room"
                  + " for 4 x 24 = 96; nothing was changed: raise evaluationK, or give fewer tokens"
                  + " in a call");
      parameter(layer, "gate.threshold").value().copyFrom(thresholds);
      float[] gate = Values.floats(parameter(layer, "gate.weight").value());
      parameter(layer, "gate.weight").value().fill(Float.NaN);
      assertThatExceptionOfType(NonFiniteException.class)
          .isThrownBy(() -> layer.infer(xs, ys))
          .satisfies(e -> assertThat(e.tensor()).isEqualTo("gate.weight"));
      parameter(layer, "gate.weight").value().copyFrom(gate);
      Values.values(layer.parameters())
          .forEach((name, p) -> assertThat(p.data()).isEqualTo(before.get(name).data()));
      poison(device);
      layer.infer(xs, ys);
      Close.check(
          "y",
          Values.matrix(ys),
          reference(g, Values.values(layer.parameters()), Products.EXACT).evaluate(x).y());
    }
  }

  @ParameterizedTest
  @MethodSource("layers")
  void sameBitsHoweverItRuns(Generated g) {
    List<Device> devices = devices();
    float[][] first = bits(g, devices.get(0), false);
    float[][] used = bits(g, devices.get(0), true);
    for (int i = 0; i < first.length; i++) {
      assertThat(Arrays.equals(first[i], used[i])).as("result %d in used memory", i).isTrue();
    }
    for (int d = 1; d < devices.size(); d++) {
      float[][] other = bits(g, devices.get(d), false);
      for (int i = 0; i < first.length; i++) {
        assertThat(Arrays.equals(first[i], other[i])).as("result %d on device %d", i, d).isTrue();
      }
    }
  }

  /** Outputs, input gradient and parameters after two steps, perhaps after a larger call. */
  private float[][] bits(Generated g, Device device, boolean used) {
    Draw draw = new Draw(g.valid());
    try (MoE layer = g.opener().on(device, SEED);
        Tensor larger = Values.tensor(device, draw.normal(g.tokens(), g.width(), 3));
        Tensor largerY = device.tensor(g.tokens(), g.width());
        Tensor x = Values.tensor(device, draw.normal(g.valid(), g.width(), 1));
        Tensor y = Values.poisoned(device, g.valid(), g.width());
        Tensor inferred = Values.poisoned(device, g.valid(), g.width());
        Tensor dy = Values.tensor(device, draw.normal(g.valid(), g.width(), 1));
        Tensor dx = Values.poisoned(device, g.valid(), g.width())) {
      draw(layer, g.experts());
      if (used) {
        layer.forward(larger, largerY);
        poison(device);
      }
      for (int step = 0; step < 2; step++) {
        layer.forward(x, y);
        layer.backward(dy, dx);
        layer.update(Update.of(0.001));
      }
      layer.infer(x, inferred);
      return Stream.concat(
              Stream.of(y, dx, inferred), layer.parameters().stream().map(Parameter::value))
          .map(Values::floats)
          .toArray(float[][]::new);
    }
  }

  /** A model: fewer valid tokens, evaluation, generation. */
  @MoEModel(batch = 3, timesteps = 8)
  interface Model extends LanguageModel {
    /** Words to vectors. */
    @Embedding(vocabulary = 30, width = 12)
    Layer words();

    /** Bounded in evaluation. */
    @MoELayer(
        experts = 8,
        k = 3,
        gating = Gating.STRICTLY_BALANCED,
        evaluationK = 5,
        thresholdLoss = 0.25)
    @Expert(hidden = 10)
    MoE experts();

    /** What follows. */
    @Softmax(vocabulary = 30)
    Layer next();
  }

  private static final int TOKENS = 24;

  private static final Generated OF_MODEL =
      new Generated(null, TOKENS, TOKENS, 12, 8, 3, "RELU", 0.25, Precision.FP32);

  /** The three layers of the model in the reference. */
  private record Passes(Pass words, StrictlyBalancedMoE.Forward experts, SoftmaxLoss.Forward next) {
    static Passes of(LanguageModel model, int[] ids, int[] targets, int valid, boolean training) {
      Map<String, Matrix> values = Values.values(model.parameters());
      Pass words = new dev.topknot.it.reference.Embedding(values.get("words.weight")).forward(ids);
      Map<String, Matrix> own = new HashMap<>();
      values.forEach((name, p) -> own.put(name.replaceFirst("^experts\\.", ""), p));
      StrictlyBalancedMoE moe = reference(OF_MODEL, own, Products.EXACT);
      StrictlyBalancedMoE.Forward experts =
          training ? moe.train(words.y(), valid) : moe.evaluate(words.y().resized(valid));
      SoftmaxLoss.Forward next =
          new SoftmaxLoss(values.get("next.weight"), values.get("next.bias"))
              .forward(experts.y().resized(valid), Arrays.copyOf(targets, valid));
      return new Passes(words, experts, next);
    }

    static Passes of(LanguageModel model, Batch batch, boolean training) {
      return of(model, batch.inputs(), batch.targets(), batch.valid(), training);
    }

    /** The gradients by full parameter name. */
    Map<String, Matrix> gradients() {
      Gradients ofNext = next.backward();
      Gradients ofExperts = experts.backward(ofNext.x().resized(TOKENS));
      Map<String, Matrix> result = new HashMap<>();
      result.put("next.weight", ofNext.get("weights"));
      result.put("next.bias", ofNext.get("bias"));
      result.put("words.weight", words.backward(ofExperts.x()).get("weights"));
      ofExperts.byName().forEach((name, d) -> result.put("experts." + name, d));
      result.put("experts.gate.weight", ofExperts.get("gateWeights").transposed());
      result.put("experts.gate.threshold", ofExperts.get("thresholds"));
      return result;
    }
  }

  private LanguageModel model() {
    LanguageModel model = TopknotStrictlyBalancedTest_Model.on(devices().get(0), SEED);
    Values.draw(model.parameters(), SEED);
    return model;
  }

  private static void threshold(LanguageModel model, float value) {
    for (Parameter parameter : model.parameters()) {
      if (parameter.name().equals("experts.gate.threshold")) {
        parameter.value().fill(value);
      }
    }
  }

  private static Batch batch(int seed, int valid) {
    Draw draw = new Draw(seed);
    return new Batch(draw.ids(TOKENS, 30), draw.ids(TOKENS, 30), valid);
  }

  @ParameterizedTest
  @ValueSource(ints = {TOKENS, 19, 2})
  void trainingOfAModel(int valid) {
    try (LanguageModel model = model()) {
      threshold(model, 0.125f);
      Batch batch = batch(valid, valid);
      Passes reference = Passes.of(model, batch, true);
      Values.poisonGradients(model.parameters());
      poison(devices().get(0));
      Close.check(
          "loss", Matrix.row(model.accumulate(batch)), Matrix.row(reference.next().meanLoss()));
      checkBalance(model.balance("experts"), reference.experts());
      Map<String, Matrix> expected = reference.gradients();
      Values.gradients(model.parameters())
          .forEach((name, d) -> Close.check("d" + name, d, expected.get(name)));
      model.update(Update.of(0.01));
    }
  }

  @Test
  void evaluationOfAModel() {
    try (LanguageModel model = model()) {
      threshold(model, 0.125f);
      Batch batch = batch(1, 23);
      Passes reference = Passes.of(model, batch, false);
      assertThat(reference.experts().mask().data()).contains(0, 1);
      double loss = model.evaluate(List.of(batch)).loss();
      Close.check("loss", Matrix.row(loss), Matrix.row(reference.next().meanLoss()));

      threshold(model, 0);
      assertThatExceptionOfType(EvaluationOverflowException.class)
          .isThrownBy(() -> model.evaluate(List.of(batch)))
          .withMessageStartingWith(
              "experts: 184 pairs of tokens and experts exceed the thresholds, but evaluationK = 5"
                  + " has room for 5 x 24 = 120;");
      threshold(model, Float.NaN);
      assertThatExceptionOfType(NonFiniteException.class)
          .isThrownBy(() -> model.evaluate(List.of(batch)))
          .satisfies(e -> assertThat(e.tensor()).isEqualTo("experts.gate.threshold"));
      threshold(model, 0.125f);
      assertThat(model.evaluate(List.of(batch)).loss()).isEqualTo(loss);
    }
  }

  /**
   * One token goes to all experts whose thresholds it exceeds, whatever evaluation is bounded to.
   */
  @ParameterizedTest
  @ValueSource(floats = {0, 0.125f, 1})
  void generation(float threshold) {
    try (LanguageModel model = model()) {
      threshold(model, threshold);
      int[] prompt = {3};
      List<Integer> text = new ArrayList<>();
      int read = prompt[0];
      for (int i = 0; i < 6; i++) {
        double[] probabilities =
            Passes.of(model, new int[] {read}, new int[1], 1, false).next().probabilities().data();
        read =
            IntStream.range(0, 30).reduce(0, (a, b) -> probabilities[b] > probabilities[a] ? b : a);
        text.add(read);
      }
      assertThat(model.generate(prompt, 6, 0).boxed().toList()).isEqualTo(text);
    }
  }
}
