package dev.topknot.it.numerics;

import dev.topknot.dsl.Activation;
import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Dropout;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Gating;
import dev.topknot.dsl.Hierarchy;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Precision;
import dev.topknot.dsl.Residual;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;

/**
 * Layers and models of experts with several hidden layers, of several kinds, shared ones,
 * recomputed ones.
 */
final class ExpertSpecs {
  static final double IMPORTANCE = LayerCase.IMPORTANCE_LOSS;
  static final double LOAD = LayerCase.LOAD_LOSS;

  private ExpertSpecs() {}

  @MoELayer(
      experts = 5,
      k = 2,
      width = 40,
      tokens = 33,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Expert(hidden = {24, 17, 30})
  interface Deep extends MoE {}

  @MoELayer(
      experts = 300,
      k = 3,
      width = 9,
      tokens = 7,
      gating = Gating.TOP_K,
      importanceLoss = IMPORTANCE)
  @Expert(
      hidden = {5, 70},
      activation = ActivationFunction.GELU)
  interface DeepFew extends MoE {}

  @MoELayer(
      experts = 2,
      k = 2,
      width = 5,
      tokens = 1,
      gating = Gating.SOFTMAX_TOP_K,
      importanceLoss = IMPORTANCE)
  @Expert(
      hidden = {3, 4},
      activation = ActivationFunction.SIGMOID)
  interface DeepOneToken extends MoE {}

  @MoELayer(
      experts = 3,
      k = 2,
      width = 37,
      tokens = 70,
      gating = Gating.SOFTMAX_TOP_K,
      importanceLoss = IMPORTANCE,
      precision = Precision.BF16)
  @Expert(
      hidden = {67, 30},
      activation = ActivationFunction.GELU)
  interface DeepRounded extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 40, tokens = 33)
  @Expert(
      hidden = {24, 65, 7},
      activation = ActivationFunction.GELU)
  interface SingleDeep extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 9, tokens = 66, precision = Precision.BF16)
  @Expert(hidden = {65, 34})
  interface SingleDeepRounded extends MoE {}

  @MoELayer(
      experts = 12,
      k = 3,
      width = 21,
      tokens = 40,
      gating = Gating.TOP_K,
      importanceLoss = IMPORTANCE)
  @Expert(count = 5, hidden = 24)
  @Expert(count = 1, hidden = 33, activation = ActivationFunction.SWIGLU)
  @Expert(
      hidden = {10, 66},
      activation = ActivationFunction.GELU)
  @Expert(shared = true, count = 2, hidden = 15, activation = ActivationFunction.TANH)
  interface Kinds extends MoE {}

  @MoELayer(
      experts = 300,
      k = 2,
      width = 8,
      tokens = 7,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Expert(count = 5, hidden = 4)
  @Expert(hidden = 3, activation = ActivationFunction.SWIGLU)
  @Expert(
      count = 45,
      hidden = {2, 6},
      activation = ActivationFunction.TANH)
  interface KindsFew extends MoE {}

  @MoELayer(experts = 3, k = 3, width = 12, tokens = 40, importanceLoss = IMPORTANCE)
  @Expert(count = 1, hidden = 9, activation = ActivationFunction.GELU)
  @Expert(count = 2, hidden = 70)
  interface KindsAll extends MoE {}

  @MoELayer(
      experts = 6,
      k = 2,
      width = 33,
      tokens = 80,
      gating = Gating.TOP_K,
      importanceLoss = IMPORTANCE,
      precision = Precision.BF16)
  @Expert(count = 3, hidden = 34, activation = ActivationFunction.SWIGLU)
  @Expert(shared = true, hidden = 65, activation = ActivationFunction.GELU)
  @Expert(count = 3, hidden = 66)
  @Expert(shared = true, hidden = 20, activation = ActivationFunction.SWIGLU)
  interface KindsRounded extends MoE {}

  /** Rows enough for the wide tile. */
  @MoELayer(
      experts = 4,
      k = 2,
      width = 72,
      tokens = 200,
      gating = Gating.TOP_K,
      importanceLoss = IMPORTANCE,
      precision = Precision.BF16,
      recompute = true)
  @Expert(count = 2, hidden = 136)
  @Expert(hidden = 72, activation = ActivationFunction.SWIGLU)
  @Expert(shared = true, hidden = 64)
  interface KindsWide extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 10, tokens = 33)
  @Expert(hidden = 24)
  @Expert(shared = true, hidden = 7, activation = ActivationFunction.SWIGLU)
  interface SingleAndShared extends MoE {}

  @MoELayer(
      experts = 3,
      k = 2,
      width = 30,
      tokens = 70,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD,
      recompute = true)
  @Expert(hidden = 65, activation = ActivationFunction.GELU)
  interface Recomputed extends MoE {}

  @MoELayer(
      experts = 3,
      k = 2,
      width = 30,
      tokens = 70,
      importanceLoss = IMPORTANCE,
      loadLoss = LOAD)
  @Expert(hidden = 65, activation = ActivationFunction.GELU)
  interface NotRecomputed extends MoE {}

  @MoELayer(experts = 6, k = 2, width = 14, tokens = 33, recompute = true)
  @Expert(count = 2, hidden = 65)
  @Expert(count = 2, hidden = 20, activation = ActivationFunction.SWIGLU)
  @Expert(
      hidden = {10, 20},
      activation = ActivationFunction.GELU)
  @Expert(shared = true, hidden = 20, activation = ActivationFunction.GELU)
  @Expert(
      shared = true,
      hidden = {20, 6})
  interface RecomputedKinds extends MoE {}

  @MoELayer(experts = 6, k = 2, width = 14, tokens = 33)
  @Expert(count = 2, hidden = 65)
  @Expert(count = 2, hidden = 20, activation = ActivationFunction.SWIGLU)
  @Expert(
      hidden = {10, 20},
      activation = ActivationFunction.GELU)
  @Expert(shared = true, hidden = 20, activation = ActivationFunction.GELU)
  @Expert(
      shared = true,
      hidden = {20, 6})
  interface NotRecomputedKinds extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 14, tokens = 33, recompute = true)
  @Expert(hidden = 40, activation = ActivationFunction.SWIGLU)
  interface RecomputedSingle extends MoE {}

  @MoELayer(experts = 1, k = 1, width = 14, tokens = 33)
  @Expert(hidden = 40, activation = ActivationFunction.SWIGLU)
  interface NotRecomputedSingle extends MoE {}

  @MoELayer(experts = 12, k = 2, width = 21, tokens = 33)
  @Hierarchy(groups = 3, k = 2)
  @Expert(hidden = 70, activation = ActivationFunction.GELU)
  interface OneKind extends MoE {}

  /** The same in three kinds, one of them across groups. */
  @MoELayer(experts = 12, k = 2, width = 21, tokens = 33)
  @Hierarchy(groups = 3, k = 2)
  @Expert(count = 2, hidden = 70, activation = ActivationFunction.GELU)
  @Expert(hidden = 70, activation = ActivationFunction.GELU)
  @Expert(count = 1, hidden = 70, activation = ActivationFunction.GELU)
  interface AlikeKinds extends MoE {}

  @MoEModel(batch = 3, timesteps = 5)
  interface RecomputedModel extends LanguageModel {
    @Embedding(vocabulary = 30, width = 12)
    Layer words();

    @MoELayer(experts = 4, k = 2, recompute = true)
    @Expert(count = 2, hidden = 20)
    @Expert(
        hidden = {9, 14},
        activation = ActivationFunction.GELU)
    @Expert(shared = true, hidden = 7, activation = ActivationFunction.SWIGLU)
    @Activation(ActivationFunction.SIGMOID)
    @Dropout(0.3)
    @Residual
    MoE experts();

    @MoELayer(experts = 1, k = 1, recompute = true)
    @Expert(hidden = {9, 14})
    @Expert(shared = true, hidden = 8, activation = ActivationFunction.TANH)
    @Dropout(0.2)
    MoE single();

    @Softmax(vocabulary = 30)
    Layer next();
  }

  @MoEModel(batch = 3, timesteps = 5)
  interface NotRecomputedModel extends LanguageModel {
    @Embedding(vocabulary = 30, width = 12)
    Layer words();

    @MoELayer(experts = 4, k = 2)
    @Expert(count = 2, hidden = 20)
    @Expert(
        hidden = {9, 14},
        activation = ActivationFunction.GELU)
    @Expert(shared = true, hidden = 7, activation = ActivationFunction.SWIGLU)
    @Activation(ActivationFunction.SIGMOID)
    @Dropout(0.3)
    @Residual
    MoE experts();

    @MoELayer(experts = 1, k = 1)
    @Expert(hidden = {9, 14})
    @Expert(shared = true, hidden = 8, activation = ActivationFunction.TANH)
    @Dropout(0.2)
    MoE single();

    @Softmax(vocabulary = 30)
    Layer next();
  }
}
