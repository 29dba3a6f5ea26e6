package dev.topknot.processor.plan;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import dev.topknot.processor.model.ExpertKind;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.LayerSpec;
import dev.topknot.processor.model.MoE;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Modifiers;
import dev.topknot.processor.model.SpecName;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/** Specs for tests of plans and writers. */
public final class Specs {
  private Specs() {}

  /** A Mixture-of-Experts layer with the default losses. */
  public static MoE moe(int experts, int k, int hidden, ActivationFunction activation) {
    return new MoE(
        Optional.empty(),
        experts,
        k,
        OptionalInt.empty(),
        OptionalInt.empty(),
        Gating.NOISY_TOP_K,
        0.1,
        0.1,
        0.01,
        false,
        List.of(new ExpertKind(experts, List.of(hidden), activation, false)),
        Optional.empty());
  }

  /** The same experts in groups, of which a token goes to {@code k}. */
  public static MoE inGroups(MoE moe, int groups, int k) {
    return new MoE(
        moe.type(),
        moe.experts(),
        moe.k() * k,
        moe.width(),
        moe.tokens(),
        moe.gating(),
        moe.importanceLoss(),
        moe.loadLoss(),
        moe.noiseFloor(),
        moe.recompute(),
        moe.kinds(),
        Optional.of(new MoE.Hierarchy(groups, k)));
  }

  /** The same layer with another gate. */
  public static MoE withGating(MoE moe, Gating gating) {
    return new MoE(
        moe.type(),
        moe.experts(),
        moe.k(),
        moe.width(),
        moe.tokens(),
        gating,
        moe.importanceLoss(),
        moe.loadLoss(),
        moe.noiseFloor(),
        moe.recompute(),
        moe.kinds(),
        moe.hierarchy());
  }

  /** The same layer with these experts. */
  public static MoE withKinds(MoE moe, boolean recompute, ExpertKind... kinds) {
    return new MoE(
        moe.type(),
        moe.experts(),
        moe.k(),
        moe.width(),
        moe.tokens(),
        moe.gating(),
        moe.importanceLoss(),
        moe.loadLoss(),
        moe.noiseFloor(),
        recompute,
        List.of(kinds),
        moe.hierarchy());
  }

  /** Five experts of three kinds, the middle one deep, and three that every token visits. */
  public static MoE kinds(boolean recompute) {
    return withKinds(
        moe(5, 2, 24, ActivationFunction.RELU),
        recompute,
        new ExpertKind(2, List.of(24), ActivationFunction.RELU, false),
        new ExpertKind(2, List.of(12, 30), ActivationFunction.GELU, false),
        new ExpertKind(1, List.of(16), ActivationFunction.SWIGLU, false),
        new ExpertKind(2, List.of(8), ActivationFunction.TANH, true),
        new ExpertKind(1, List.of(8, 6, 4), ActivationFunction.GELU, true));
  }

  /** A layer of its own, {@code com.example.Experts}. */
  public static LayerSpec layer(MoE moe, int width, int tokens) {
    return new LayerSpec(
        new SpecName("com.example", List.of("Experts")),
        true,
        moe,
        width,
        tokens,
        Optimizer.ADAM,
        Precision.FP32);
  }

  /** The same layer with bf16 operands. */
  public static LayerSpec inBf16(LayerSpec spec) {
    return new LayerSpec(
        spec.name(),
        spec.isPublic(),
        spec.moe(),
        spec.width(),
        spec.tokens(),
        spec.optimizer(),
        Precision.BF16);
  }

  /** The same model with bf16 operands. */
  public static ModelSpec inBf16(ModelSpec spec) {
    return new ModelSpec(
        spec.name(),
        spec.isPublic(),
        spec.batch(),
        spec.timesteps(),
        spec.optimizer(),
        Precision.BF16,
        spec.layers());
  }

  /** The same model with another optimizer. */
  public static ModelSpec withOptimizer(ModelSpec spec, Optimizer optimizer) {
    return new ModelSpec(
        spec.name(),
        spec.isPublic(),
        spec.batch(),
        spec.timesteps(),
        optimizer,
        spec.precision(),
        spec.layers());
  }

  /** A model with an embedding, these layers and a softmax, {@code com.example.Model}. */
  public static ModelSpec model(
      int batch, int timesteps, int vocabulary, int width, ModelSpec.Layer... between) {
    List<ModelSpec.Layer> layers = new ArrayList<>();
    layers.add(named("words", new LayerKind.Embedding(vocabulary, width)));
    layers.addAll(List.of(between));
    layers.add(named("next", new LayerKind.Softmax(vocabulary)));
    return new ModelSpec(
        new SpecName("com.example", List.of("Model")),
        true,
        batch,
        timesteps,
        Optimizer.ADAM,
        Precision.FP32,
        layers);
  }

  /** The same model with so many samples for the softmax in training. */
  public static ModelSpec sampled(ModelSpec spec, int samples) {
    List<ModelSpec.Layer> layers = new ArrayList<>(spec.layers());
    ModelSpec.Layer last = layers.remove(layers.size() - 1);
    int vocabulary = ((LayerKind.Softmax) last.kind()).vocabulary();
    layers.add(named(last.name(), new LayerKind.Softmax(vocabulary, OptionalInt.of(samples))));
    return new ModelSpec(
        spec.name(),
        spec.isPublic(),
        spec.batch(),
        spec.timesteps(),
        spec.optimizer(),
        spec.precision(),
        layers);
  }

  /** A layer of a model. */
  public static ModelSpec.Layer named(String name, LayerKind kind) {
    return new ModelSpec.Layer(name, kind, Modifiers.NONE);
  }

  /** A layer of a model with dropout and residual. */
  public static ModelSpec.Layer residual(
      String name, LayerKind kind, ActivationFunction activation) {
    return new ModelSpec.Layer(name, kind, new Modifiers(activation, 0.1, true));
  }

  /** The model of the README: LSTM, Mixture-of-Experts, LSTM. */
  public static ModelSpec newsModel() {
    return model(
        32,
        20,
        10_000,
        128,
        residual("below", new LayerKind.Lstm(128), ActivationFunction.IDENTITY),
        residual(
            "experts",
            new LayerKind.Experts(moe(64, 4, 256, ActivationFunction.RELU)),
            ActivationFunction.SIGMOID),
        residual("above", new LayerKind.Lstm(128), ActivationFunction.IDENTITY));
  }
}
