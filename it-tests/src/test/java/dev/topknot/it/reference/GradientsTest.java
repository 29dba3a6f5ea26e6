package dev.topknot.it.reference;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.DoubleSupplier;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every analytic gradient agrees with central finite differences, away from ties and kinks. */
class GradientsTest {
  @ParameterizedTest
  @EnumSource
  void activation(Activation activation) {
    Matrix z = new Draw(1).normal(5, 7, 2);
    checkPass(new Draw(2).normal(5, 7, 1), z, Map.of(), () -> activation.forward(z));
  }

  @ParameterizedTest
  @CsvSource({"RELU, 9", "GELU, 9", "SIGMOID, 9", "TANH, 9", "IDENTITY, 9", "SWIGLU, 9", "GELU, 3"})
  void expert(String activation, int hidden) {
    Draw draw = new Draw(3);
    Expert expert = draw.experts(1, activation, 6, hidden).get(0);
    Matrix x = draw.normal(4, 6, 1);
    checkPass(draw.normal(4, 6, 1), x, expert.weights(), () -> expert.forward(x));
  }

  @Test
  void deepExpert() {
    Draw draw = new Draw(4);
    Expert expert = draw.experts(1, "TANH", 6, 5, 8, 4).get(0);
    Matrix x = draw.normal(4, 6, 1);
    checkPass(draw.normal(4, 6, 1), x, expert.weights(), () -> expert.forward(x));
  }

  @Test
  void squaredCoefficientOfVariation() {
    Matrix v = Matrix.row(0.5, 3, 1.25, 0, 2);
    FiniteDifferences.check(
        "v", v, Matrix.row(Balance.cvSquaredGradient(v.data())), () -> Balance.cvSquared(v.data()));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3})
  void loadThroughCleanDeviationAndThreshold(int k) {
    Draw draw = new Draw(5);
    Matrix x = draw.normal(6, 5, 1);
    Matrix gateWeights = draw.weights(5, 4);
    Matrix noiseWeights = draw.weights(5, 4);
    Matrix noise = draw.normal(6, 4, 1);
    Gating gating = new Gating(Gating.Kind.NOISY_TOP_K, k, 0.01, gateWeights, noiseWeights);
    double[] weights = draw.normal(1, 4, 1).data();
    DoubleSupplier function =
        () -> Matrix.row(gating.forward(x, noise, null).load()).dot(Matrix.row(weights));
    Gradients gradients = gating.forward(x, noise, null).backward(Matrix.zeros(6, 4), weights);

    FiniteDifferences.check("x", x, gradients.x(), function);
    FiniteDifferences.check("gateWeights", gateWeights, gradients.get("gateWeights"), function);
    FiniteDifferences.check("noiseWeights", noiseWeights, gradients.get("noiseWeights"), function);
  }

  @ParameterizedTest
  @CsvSource({
    "NOISY_TOP_K, 2, RELU, true",
    "NOISY_TOP_K, 2, RELU, false",
    "NOISY_TOP_K, 1, GELU, true",
    "NOISY_TOP_K, 4, SWIGLU, true",
    "NOISY_TOP_K, 5, TANH, true",
    "TOP_K, 3, SIGMOID, false",
    "SOFTMAX_TOP_K, 1, RELU, false",
    "SOFTMAX_TOP_K, 2, IDENTITY, false"
  })
  void layer(Gating.Kind kind, int k, String activation, boolean noisy) {
    Draw draw = new Draw(6 + k);
    int tokens = 7;
    int width = 6;
    int experts = 5;
    Matrix x = draw.normal(tokens, width, 1);
    Map<String, Matrix> parameters = new LinkedHashMap<>();
    parameters.put("gateWeights", draw.weights(width, experts));
    Matrix noise = null;
    if (noisy) {
      parameters.put("noiseWeights", draw.weights(width, experts));
      noise = draw.normal(tokens, experts, 1);
    }
    Gating gating =
        new Gating(kind, k, 0.01, parameters.get("gateWeights"), parameters.get("noiseWeights"));
    List<Expert> list = draw.experts(experts, activation, width, 8);
    for (int i = 0; i < experts; i++) {
      String prefix = "experts." + i + ".";
      list.get(i).weights().forEach((name, w) -> parameters.put(prefix + name, w));
    }
    MoE moe = new MoE(gating, 0.7, 0.3, list);
    Matrix xi = noise;
    if (kind != Gating.Kind.SOFTMAX_TOP_K && k == 1) {
      // The gate learns from the losses alone; its value is the constant 1.
      assertThat(moe.forward(x, xi).gate().gates().columnSums().dot(ones(experts)))
          .isEqualTo(tokens);
    }
    checkPass(draw.normal(tokens, width, 1), x, parameters, () -> moe.forward(x, xi));
  }

  /** Experts of different shapes, and shared ones. */
  @Test
  void kindsOfExperts() {
    Draw draw = new Draw(31);
    int width = 5;
    Matrix x = draw.normal(8, width, 1);
    Matrix noise = draw.normal(8, 4, 1);
    Map<String, Matrix> parameters = new LinkedHashMap<>();
    parameters.put("gateWeights", draw.weights(width, 4));
    parameters.put("noiseWeights", draw.weights(width, 4));
    Gating gating =
        new Gating(
            Gating.Kind.NOISY_TOP_K,
            2,
            0.01,
            parameters.get("gateWeights"),
            parameters.get("noiseWeights"));
    List<Expert> experts = new ArrayList<>(draw.experts(2, "TANH", width, 3));
    experts.addAll(draw.experts(1, "SWIGLU", width, 6));
    experts.addAll(draw.experts(1, "GELU", width, 4, 7));
    List<Expert> shared = new ArrayList<>(draw.experts(1, "SIGMOID", width, 3, 2));
    shared.addAll(draw.experts(1, "SWIGLU", width, 4));
    for (int i = 0; i < experts.size(); i++) {
      String prefix = "experts." + i + ".";
      experts.get(i).weights().forEach((name, w) -> parameters.put(prefix + name, w));
    }
    for (int s = 0; s < shared.size(); s++) {
      String prefix = "shared." + s + ".";
      shared.get(s).weights().forEach((name, w) -> parameters.put(prefix + name, w));
    }
    MoE moe = new MoE(gating, 0.7, 0.3, experts, shared);
    checkPass(draw.normal(8, width, 1), x, parameters, () -> moe.forward(x, noise));
  }

  @Test
  void layerOnADevicesSelection() {
    Draw draw = new Draw(12);
    Matrix x = draw.normal(5, 4, 1);
    Matrix gateWeights = draw.weights(4, 6);
    Matrix noiseWeights = draw.weights(4, 6);
    Matrix noise = draw.normal(5, 6, 1);
    Gating gating = new Gating(Gating.Kind.NOISY_TOP_K, 2, 0.01, gateWeights, noiseWeights);
    MoE moe = new MoE(gating, 0.1, 0.1, draw.experts(6, "RELU", 4, 7));
    int[][] chosen = moe.forward(x, noise).gate().chosen();
    // Token 3 goes elsewhere than it would by itself.
    chosen[3] = new int[] {other(chosen[3]), chosen[3][0]};
    checkPass(
        draw.normal(5, 4, 1),
        x,
        Map.of("gateWeights", gateWeights, "noiseWeights", noiseWeights),
        () -> moe.forward(x, 5, noise, chosen));
  }

  /** All groups or all experts of a group among them, and one token, which leaves a group empty. */
  @ParameterizedTest
  @CsvSource({"9, 2, 2", "9, 1, 2", "9, 3, 2", "9, 2, 4", "9, 3, 4", "1, 2, 2"})
  void hierarchicalLayer(int tokens, int primaryK, int secondaryK) {
    Draw draw = new Draw(13);
    Matrix x = draw.normal(tokens, 5, 1);
    Map<String, Matrix> parameters = new LinkedHashMap<>();
    for (String prefix : List.of("primary.", "secondary.0.", "secondary.1.", "secondary.2.")) {
      int choices = prefix.equals("primary.") ? 3 : 4;
      parameters.put(prefix + "gateWeights", draw.weights(5, choices));
      parameters.put(prefix + "noiseWeights", draw.weights(5, choices));
    }
    List<Expert> experts = draw.experts(12, "TANH", 5, 6);
    parameters.put("experts.7.w2", experts.get(7).weights().get("w2"));
    HierarchicalMoE moe =
        new HierarchicalMoE(
            gate(parameters, "primary.", primaryK),
            List.of(
                gate(parameters, "secondary.0.", secondaryK),
                gate(parameters, "secondary.1.", secondaryK),
                gate(parameters, "secondary.2.", secondaryK)),
            0.1,
            0.1,
            experts);
    Matrix primaryNoise = draw.normal(tokens, 3, 1);
    List<Matrix> secondaryNoise =
        List.of(draw.normal(tokens, 4, 1), draw.normal(tokens, 4, 1), draw.normal(tokens, 4, 1));
    checkPass(
        draw.normal(tokens, 5, 1),
        x,
        parameters,
        () -> moe.forward(x, primaryNoise, secondaryNoise));
  }

  @Test
  void strictlyBalancedLayer() {
    Draw draw = new Draw(14);
    Matrix x = draw.normal(8, 5, 1);
    Matrix gateWeights = draw.weights(5, 4);
    Matrix thresholds = Matrix.row(0.2, 0.3, 0.25, 0.2);
    StrictlyBalancedMoE moe =
        new StrictlyBalancedMoE(
            2, gateWeights, thresholds.data(), 1, draw.experts(4, "TANH", 5, 6));
    checkPass(
        draw.normal(8, 5, 1),
        x,
        Map.of("gateWeights", gateWeights, "thresholds", thresholds),
        () -> moe.train(x));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void lstm(boolean projected) {
    Draw draw = new Draw(15);
    int units = 5;
    int out = projected ? 3 : units;
    Matrix x = draw.normal(8, 4, 1);
    Map<String, Matrix> variables = new LinkedHashMap<>();
    variables.put("inputWeights", draw.weights(4 * units, 4));
    variables.put("recurrentWeights", draw.weights(4 * units, out));
    variables.put("bias", draw.normal(1, 4 * units, 1));
    variables.put("h0", draw.normal(2, out, 1));
    variables.put("c0", draw.normal(2, units, 1));
    if (projected) {
      variables.put("projection", draw.weights(out, units));
    }
    Lstm lstm =
        new Lstm(
            variables.get("inputWeights"),
            variables.get("recurrentWeights"),
            variables.get("bias"),
            variables.get("projection"));
    checkPass(
        draw.normal(8, out, 1),
        x,
        variables,
        () -> lstm.forward(x, variables.get("h0"), variables.get("c0")));
  }

  @Test
  void dense() {
    Draw draw = new Draw(16);
    Matrix x = draw.normal(4, 6, 1);
    Matrix weights = draw.weights(5, 6);
    Matrix bias = draw.normal(1, 5, 1);
    Dense dense = new Dense(weights, bias, Activation.GELU);
    checkPass(
        draw.normal(4, 5, 1), x, Map.of("weights", weights, "bias", bias), () -> dense.forward(x));
  }

  @Test
  void embeddingOfARepeatedWord() {
    Draw draw = new Draw(17);
    Matrix table = draw.normal(4, 3, 1);
    Matrix dy = draw.normal(3, 3, 1);
    Embedding embedding = new Embedding(table);
    int[] ids = {2, 0, 2};
    FiniteDifferences.check(
        "weights",
        table,
        embedding.forward(ids).backward(dy).get("weights"),
        () -> embedding.forward(ids).y().dot(dy));
  }

  @Test
  void modifiers() {
    Draw draw = new Draw(18);
    Matrix input = draw.normal(4, 6, 1);
    Matrix output = draw.normal(4, 6, 1);
    Matrix keep = draw.keep(4, 6, 0.3);
    Modifiers modifiers = new Modifiers(Activation.SIGMOID, 0.3, true);
    checkPass(draw.normal(4, 6, 1), output, Map.of(), () -> modifiers.forward(input, output, keep));
  }

  /** Ids drawn twice, ids that are targets, targets that were not drawn. */
  @Test
  void sampledSoftmaxLoss() {
    Draw draw = new Draw(16);
    Matrix x = draw.normal(5, 4, 1);
    Matrix weights = draw.normal(9, 4, 1);
    Matrix bias = draw.normal(1, 9, 1);
    int[] targets = {3, 0, 3, 8, 1};
    SampledSoftmaxLoss softmax =
        new SampledSoftmaxLoss(
            weights,
            bias,
            List.of(0, 3, 3, 5, 1, 0, 2),
            id -> 7 * Math.log((id + 2.0) / (id + 1)) / Math.log(10),
            Products.EXACT);
    DoubleSupplier loss = () -> softmax.forward(x, targets).meanLoss();
    Gradients gradients = softmax.forward(x, targets).backward();
    FiniteDifferences.check("x", x, gradients.x(), loss);
    FiniteDifferences.check("weights", weights, gradients.get("weights"), loss);
    FiniteDifferences.check("bias", bias, gradients.get("bias"), loss);
  }

  @Test
  void softmaxLoss() {
    Draw draw = new Draw(19);
    Matrix x = draw.normal(5, 4, 1);
    Matrix weights = draw.normal(9, 4, 1);
    Matrix bias = draw.normal(1, 9, 1);
    int[] targets = draw.ids(5, 9);
    SoftmaxLoss softmax = new SoftmaxLoss(weights, bias);
    Gradients gradients = softmax.forward(x, targets).backward();
    FiniteDifferences.check("x", x, gradients.x(), () -> softmax.forward(x, targets).meanLoss());
    FiniteDifferences.check(
        "weights", weights, gradients.get("weights"), () -> softmax.forward(x, targets).meanLoss());
    FiniteDifferences.check(
        "bias", bias, gradients.get("bias"), () -> softmax.forward(x, targets).meanLoss());
  }

  @Test
  void languageModelWithAnUnfinishedStep() {
    Draw draw = new Draw(20);
    int vocabulary = 7;
    int width = 4;
    int batch = 2;
    int tokens = 3 * batch;
    int valid = 5;
    int experts = 4;
    Map<String, Matrix> parameters = new LinkedHashMap<>();
    parameters.put("words.weight", draw.normal(vocabulary, width, 1));
    for (String lstm : List.of("below", "above")) {
      parameters.put(lstm + ".weight_ih", draw.weights(4 * width, width));
      parameters.put(lstm + ".weight_hh", draw.weights(4 * width, width));
      parameters.put(lstm + ".bias", draw.normal(1, 4 * width, 1));
    }
    parameters.put("experts.gate.weight", draw.weights(experts, width));
    parameters.put("experts.noise.weight", draw.weights(experts, width));
    for (int i = 0; i < experts; i++) {
      parameters.put("experts.experts." + i + ".w1", draw.weights(5, width));
      parameters.put("experts.experts." + i + ".w2", draw.weights(width, 5));
    }
    parameters.put("twin.experts.0.w1", draw.weights(7, width));
    parameters.put("twin.experts.0.w2", draw.weights(width, 7));
    parameters.put("wide.weight", draw.weights(width, width));
    parameters.put("wide.bias", draw.normal(1, width, 1));
    parameters.put("next.weight", draw.weights(vocabulary, width));
    parameters.put("next.bias", draw.normal(1, vocabulary, 1));
    Modifiers after = new Modifiers(Activation.IDENTITY, 0.2, true);
    LanguageModel model =
        new LanguageModel(
            List.of(
                new LanguageModel.Words("words", new Modifiers(Activation.IDENTITY, 0.2, false)),
                new LanguageModel.Recurrent("below", after),
                mixed("experts", 2, new Modifiers(Activation.SIGMOID, 0.2, true)),
                new LanguageModel.FullyConnected("wide", Activation.TANH, Modifiers.NONE),
                mixed("twin", 1, Modifiers.NONE),
                new LanguageModel.Recurrent("above", after)),
            "next",
            parameters,
            Products.EXACT);
    Map<String, Matrix> h = new HashMap<>();
    Map<String, Matrix> c = new HashMap<>();
    Map<String, Matrix> keep = new HashMap<>();
    for (String name : List.of("words", "below", "experts", "above")) {
      keep.put(name, draw.keep(tokens, width, 0.2));
    }
    for (String name : List.of("below", "above")) {
      h.put(name, draw.normal(batch, width, 1));
      c.put(name, draw.normal(batch, width, 1));
    }
    LanguageModel.Input input =
        new LanguageModel.Input(
            batch,
            valid,
            Arrays.stream(draw.ids(tokens, vocabulary)).boxed().toList(),
            Arrays.stream(draw.ids(tokens, vocabulary)).boxed().toList(),
            h,
            c,
            Map.of("experts", draw.normal(tokens, experts, 1)),
            keep,
            Map.of());

    Map<String, Matrix> gradients = model.forward(input).backward();

    assertThat(gradients).containsKeys(parameters.keySet().toArray(String[]::new));
    parameters.forEach(
        (name, parameter) ->
            FiniteDifferences.check(
                name, parameter, gradients.get(name), () -> model.forward(input).total()));
  }

  private static LanguageModel.Mixed mixed(String name, int k, Modifiers modifiers) {
    return new LanguageModel.Mixed(
        name, Gating.Kind.NOISY_TOP_K, k, 0.01, 0.1, 0.1, "RELU", modifiers);
  }

  /** Checks x and every variable of the scalar ⟨y, dy⟩ plus, of a MoE layer, its losses. */
  private static void checkPass(
      Matrix dy, Matrix x, Map<String, Matrix> variables, Supplier<Pass> forward) {
    DoubleSupplier function =
        () -> {
          Pass pass = forward.get();
          return pass.y().dot(dy) + losses(pass);
        };
    Gradients gradients = forward.get().backward(dy);
    assertThat(gradients.x().norm()).isPositive();
    FiniteDifferences.check("x", x, gradients.x(), function);
    variables.forEach(
        (name, variable) -> FiniteDifferences.check(name, variable, gradients.get(name), function));
  }

  private static double losses(Pass pass) {
    if (pass instanceof MoE.Forward moe) {
      return moe.importanceLoss() + moe.loadLoss();
    }
    if (pass instanceof HierarchicalMoE.Forward moe) {
      return moe.importanceLoss() + moe.loadLoss();
    }
    return pass instanceof StrictlyBalancedMoE.Forward moe ? moe.batchLoss() : 0;
  }

  private static Gating gate(Map<String, Matrix> parameters, String prefix, int k) {
    return new Gating(
        Gating.Kind.NOISY_TOP_K,
        k,
        0.01,
        parameters.get(prefix + "gateWeights"),
        parameters.get(prefix + "noiseWeights"));
  }

  private static Matrix ones(int columns) {
    return Matrix.zeros(1, columns).map(zero -> 1);
  }

  private static int other(int[] chosen) {
    int i = 0;
    while (i == chosen[0] || i == chosen[1]) {
      i++;
    }
    return i;
  }
}
