package dev.topknot.it.numerics;

import dev.topknot.dsl.Activation;
import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Dense;
import dev.topknot.dsl.Dropout;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Gating;
import dev.topknot.dsl.Hierarchy;
import dev.topknot.dsl.Lstm;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Precision;
import dev.topknot.dsl.Residual;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;

/** Layers and models of awkward sizes, compiled by the processor together with these tests. */
final class Specs {
  static final double IMPORTANCE = LayerCase.IMPORTANCE_LOSS;
  static final double LOAD = LayerCase.LOAD_LOSS;

  private Specs() {}

  @MoELayer(
      experts = 2,
      k = 1,
      width = 8,
      tokens = 1,
      gating = Gating.SOFTMAX_TOP_K,
      importanceLoss = IMPORTANCE)
  @Expert(hidden = 12)
  interface OneToken extends MoE {}

  @MoELayer(
      experts = 5,
      k = 2,
      width = 40,
      tokens = 7,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Expert(hidden = 24)
  interface Seven extends MoE {}

  @MoELayer(
      experts = 5,
      k = 3,
      width = 512,
      tokens = 33,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Expert(hidden = 40, activation = ActivationFunction.GELU)
  interface Wide extends MoE {}

  @MoELayer(
      experts = 4096,
      k = 4,
      width = 8,
      tokens = 33,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Expert(hidden = 2, activation = ActivationFunction.SWIGLU)
  interface Many extends MoE {}

  @MoELayer(
      experts = 4096,
      k = 2,
      width = 512,
      tokens = 7,
      gating = Gating.TOP_K,
      importanceLoss = IMPORTANCE)
  @Expert(hidden = 2, activation = ActivationFunction.TANH)
  interface ManyWide extends MoE {}

  @MoELayer(
      experts = 64,
      k = 4,
      width = 40,
      tokens = 33,
      gating = Gating.SOFTMAX_TOP_K,
      importanceLoss = IMPORTANCE)
  @Expert(hidden = 17, activation = ActivationFunction.SIGMOID)
  interface SixtyFour extends MoE {}

  @MoELayer(
      experts = 3,
      k = 2,
      width = 70,
      tokens = 150,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Expert(hidden = 33, activation = ActivationFunction.SWIGLU)
  interface Three extends MoE {}

  @MoELayer(
      experts = 256,
      k = 4,
      width = 33,
      tokens = 100,
      gating = Gating.TOP_K,
      importanceLoss = IMPORTANCE)
  @Expert(hidden = 9)
  interface TwoFiftySix extends MoE {}

  @MoELayer(experts = 2, k = 2, width = 8, tokens = 33, importanceLoss = IMPORTANCE)
  @Expert(hidden = 5, activation = ActivationFunction.IDENTITY)
  interface Both extends MoE {}

  @MoELayer(
      experts = 7,
      k = 7,
      width = 40,
      tokens = 33,
      gating = Gating.SOFTMAX,
      importanceLoss = IMPORTANCE)
  @Expert(hidden = 24)
  interface AllSeven extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 40, tokens = 33)
  @Expert(hidden = 24)
  interface Single extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 8, tokens = 7)
  @Expert(hidden = 65, activation = ActivationFunction.SWIGLU)
  interface SingleGated extends MoE {}

  @MoELayer(
      experts = 5,
      k = 2,
      width = 40,
      tokens = 7,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD,
      precision = Precision.BF16)
  @Expert(hidden = 24)
  interface RoundedSeven extends MoE {}

  @MoELayer(
      experts = 3,
      k = 2,
      width = 37,
      tokens = 70,
      gating = Gating.SOFTMAX_TOP_K,
      importanceLoss = IMPORTANCE,
      precision = Precision.BF16)
  @Expert(hidden = 67, activation = ActivationFunction.GELU)
  interface Rounded extends MoE {}

  @MoELayer(
      experts = 6,
      k = 3,
      width = 30,
      tokens = 33,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD,
      precision = Precision.BF16)
  @Expert(hidden = 35, activation = ActivationFunction.SWIGLU)
  interface RoundedGated extends MoE {}

  /** So many rows an expert, and such widths, that its products have the wide tile. */
  @MoELayer(
      experts = 3,
      k = 2,
      width = 72,
      tokens = 200,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD,
      precision = Precision.BF16)
  @Expert(hidden = 136)
  interface RoundedWide extends MoE {}

  @MoELayer(
      experts = 2,
      k = 1,
      width = 136,
      tokens = 150,
      gating = Gating.SOFTMAX_TOP_K,
      importanceLoss = IMPORTANCE,
      precision = Precision.BF16)
  @Expert(hidden = 40, activation = ActivationFunction.SWIGLU)
  interface RoundedWideGated extends MoE {}

  /** Likewise, with hidden activations that backward computes again. */
  @MoELayer(
      experts = 2,
      k = 2,
      width = 40,
      tokens = 140,
      gating = Gating.TOP_K,
      importanceLoss = IMPORTANCE,
      recompute = true,
      precision = Precision.BF16)
  @Expert(hidden = 72)
  interface RoundedWideAgain extends MoE {}

  /** So many experts that the gate's products are split. */
  @MoELayer(
      experts = 130,
      k = 2,
      width = 40,
      tokens = 140,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD,
      precision = Precision.BF16)
  @Expert(hidden = 8, activation = ActivationFunction.TANH)
  interface RoundedMany extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 24, tokens = 140, precision = Precision.BF16)
  @Expert(hidden = 136, activation = ActivationFunction.GELU)
  interface RoundedWideSingle extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 40, tokens = 66, precision = Precision.BF16)
  @Expert(hidden = 65)
  interface RoundedSingle extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 9, tokens = 7, precision = Precision.BF16)
  @Expert(hidden = 34, activation = ActivationFunction.SWIGLU)
  interface RoundedSingleGated extends MoE {}

  @MoELayer(
      experts = 12,
      k = 2,
      width = 37,
      tokens = 33,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Hierarchy(groups = 3, k = 2)
  @Expert(hidden = 21)
  interface ThreeGroups extends MoE {}

  @MoELayer(
      experts = 12,
      k = 2,
      width = 8,
      tokens = 1,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Hierarchy(groups = 3, k = 2)
  @Expert(hidden = 12)
  interface OneTokenInGroups extends MoE {}

  /** Every token goes to both groups. */
  @MoELayer(
      experts = 10,
      k = 2,
      width = 40,
      tokens = 70,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Hierarchy(groups = 2, k = 2)
  @Expert(hidden = 9, activation = ActivationFunction.GELU)
  interface BothGroups extends MoE {}

  /** Every token goes to all experts of its groups. */
  @MoELayer(
      experts = 15,
      k = 3,
      width = 30,
      tokens = 150,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Hierarchy(groups = 5, k = 2)
  @Expert(hidden = 33, activation = ActivationFunction.SWIGLU)
  interface WholeGroups extends MoE {}

  /** Gates that keep all there is on both levels. */
  @MoELayer(
      experts = 6,
      k = 3,
      width = 16,
      tokens = 20,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Hierarchy(groups = 2, k = 2)
  @Expert(hidden = 7)
  @SuppressWarnings("TK032") // a load that has no gradient
  interface AllOfAll extends MoE {}

  /** More groups than rows, and experts behind the first 128 of a group. */
  @MoELayer(
      experts = 4096,
      k = 2,
      width = 12,
      tokens = 7,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Hierarchy(groups = 16, k = 1)
  @Expert(hidden = 3)
  @SuppressWarnings("TK031") // primary gate values of 1
  interface SixteenGroups extends MoE {}

  /** Several tiles of rows a group. */
  @MoELayer(
      experts = 8,
      k = 1,
      width = 20,
      tokens = 300,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD,
      precision = Precision.BF16)
  @Hierarchy(groups = 4, k = 2)
  @Expert(hidden = 10)
  @SuppressWarnings("TK031") // secondary gate values of 1
  interface RoundedGroups extends MoE {}

  @MoELayer(experts = 5, k = 2, width = 8, tokens = 33)
  @Expert(hidden = 24)
  interface Inner extends MoE {}

  @MoEModel(batch = 3, timesteps = 11)
  interface Model extends LanguageModel {
    @Embedding(vocabulary = 50, width = 8)
    @Dropout(0.2)
    Layer words();

    @Lstm(units = 8)
    @Dropout(0.1)
    @Residual
    Layer below();

    @Activation(ActivationFunction.SIGMOID)
    @Dropout(0.1)
    @Residual
    Inner experts();

    @MoELayer(experts = 4, k = 1, gating = Gating.SOFTMAX_TOP_K)
    @Expert(hidden = 7, activation = ActivationFunction.GELU)
    MoE switched();

    @Dense(units = 12, activation = ActivationFunction.GELU)
    Layer wide();

    @MoELayer(experts = 1, k = 1)
    @Expert(hidden = 10, activation = ActivationFunction.TANH)
    @Residual
    MoE twin();

    @Lstm(units = 9, projection = 7)
    Layer above();

    @Softmax(vocabulary = 50)
    Layer next();
  }

  /** A projected recurrent layer, and a softmax that training samples. */
  @MoEModel(batch = 3, timesteps = 7)
  interface Sampled extends LanguageModel {
    @Embedding(vocabulary = 100, width = 12)
    Layer words();

    @Lstm(units = 17, projection = 12)
    @Residual
    Layer below();

    @Softmax(vocabulary = 100, samples = 25)
    Layer next();
  }

  /** Likewise with bf16 operands. */
  @MoEModel(batch = 3, timesteps = 7, precision = Precision.BF16)
  interface RoundedSampled extends LanguageModel {
    @Embedding(vocabulary = 100, width = 12)
    Layer words();

    @Lstm(units = 17, projection = 12)
    @Residual
    Layer below();

    @Softmax(vocabulary = 100, samples = 25)
    Layer next();
  }

  /** The same layers with bf16 operands. */
  @MoEModel(batch = 3, timesteps = 11, precision = Precision.BF16)
  interface RoundedModel extends LanguageModel {
    @Embedding(vocabulary = 50, width = 8)
    @Dropout(0.2)
    Layer words();

    @Lstm(units = 8)
    @Dropout(0.1)
    @Residual
    Layer below();

    @Activation(ActivationFunction.SIGMOID)
    @Dropout(0.1)
    @Residual
    Inner experts();

    @MoELayer(experts = 4, k = 1, gating = Gating.SOFTMAX_TOP_K)
    @Expert(hidden = 7, activation = ActivationFunction.GELU)
    MoE switched();

    @Dense(units = 12, activation = ActivationFunction.GELU)
    Layer wide();

    @MoELayer(experts = 1, k = 1)
    @Expert(hidden = 10, activation = ActivationFunction.TANH)
    @Residual
    MoE twin();

    @Lstm(units = 9, projection = 7)
    Layer above();

    @Softmax(vocabulary = 50)
    Layer next();
  }
}
