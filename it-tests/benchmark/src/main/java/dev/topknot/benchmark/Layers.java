package dev.topknot.benchmark;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Gating;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.Optimizer;
import dev.topknot.runtime.MoE;

/**
 * The measured layers: top-k softmax gating, ReLU experts, no balancing losses (no peer has any)
 * and no optimizer (gradients in memory are the end).
 */
final class Layers {
  private Layers() {}

  /** Few experts with many tokens each. */
  @MoELayer(
      tokens = 1024,
      width = 512,
      experts = 32,
      k = 4,
      gating = Gating.TOP_K,
      importanceLoss = 0,
      loadLoss = 0,
      optimizer = Optimizer.NONE)
  @Expert(hidden = 1024, activation = ActivationFunction.RELU)
  interface A extends MoE {}

  /** As {@link A} with 256 experts: 16 tokens each. */
  @MoELayer(
      tokens = 1024,
      width = 512,
      experts = 256,
      k = 4,
      gating = Gating.TOP_K,
      importanceLoss = 0,
      loadLoss = 0,
      optimizer = Optimizer.NONE)
  @Expert(hidden = 1024, activation = ActivationFunction.RELU)
  interface B extends MoE {}

  /** Small experts. */
  @MoELayer(
      tokens = 2048,
      width = 128,
      experts = 64,
      k = 4,
      gating = Gating.TOP_K,
      importanceLoss = 0,
      loadLoss = 0,
      optimizer = Optimizer.NONE)
  @Expert(hidden = 256, activation = ActivationFunction.RELU)
  interface C extends MoE {}

  /** A great many experts: 4 tokens each, 4.3 GB of weights. */
  @MoELayer(
      tokens = 4096,
      width = 256,
      experts = 4096,
      k = 4,
      gating = Gating.TOP_K,
      importanceLoss = 0,
      loadLoss = 0,
      optimizer = Optimizer.NONE)
  @Expert(hidden = 512, activation = ActivationFunction.RELU)
  interface D extends MoE {}

  /** For tests of the benchmark. */
  @MoELayer(
      tokens = 24,
      width = 16,
      experts = 8,
      k = 2,
      gating = Gating.TOP_K,
      importanceLoss = 0,
      loadLoss = 0,
      optimizer = Optimizer.NONE)
  @Expert(hidden = 32, activation = ActivationFunction.RELU)
  interface Tiny extends MoE {}
}
