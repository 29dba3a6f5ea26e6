package dev.topknot.it.gpu;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Gating;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.MoE;
import java.util.List;
import java.util.function.BiFunction;

/** The layers that are measured, and small ones of every kind whose launches are recorded. */
final class Shapes {
  /** The layers that are measured, the smallest first. */
  static final List<Shape> MEASURED =
      List.of(
          new Shape(
              "small experts",
              TopknotShapes_SmallExperts.TOKENS,
              TopknotShapes_SmallExperts.WIDTH,
              TopknotShapes_SmallExperts.HIDDEN,
              TopknotShapes_SmallExperts.EXPERTS,
              TopknotShapes_SmallExperts.K,
              Precision.BF16,
              TopknotShapes_SmallExperts::on),
          new Shape(
              "wide tokens",
              TopknotShapes_WideTokens.TOKENS,
              TopknotShapes_WideTokens.WIDTH,
              TopknotShapes_WideTokens.HIDDEN,
              TopknotShapes_WideTokens.EXPERTS,
              TopknotShapes_WideTokens.K,
              Precision.BF16,
              TopknotShapes_WideTokens::on),
          new Shape(
              "many experts",
              TopknotShapes_ManyExperts.TOKENS,
              TopknotShapes_ManyExperts.WIDTH,
              TopknotShapes_ManyExperts.HIDDEN,
              TopknotShapes_ManyExperts.EXPERTS,
              TopknotShapes_ManyExperts.K,
              Precision.BF16,
              TopknotShapes_ManyExperts::on));

  /** Stands for them where the device is the emulator. */
  static final Shape SMALL =
      new Shape(
          "noisy",
          TopknotShapes_Noisy.TOKENS,
          TopknotShapes_Noisy.WIDTH,
          TopknotShapes_Noisy.HIDDEN,
          TopknotShapes_Noisy.EXPERTS,
          TopknotShapes_Noisy.K,
          Precision.FP32,
          TopknotShapes_Noisy::on);

  private Shapes() {}

  /**
   * A layer's sizes, and how it is made.
   *
   * @param name for people
   * @param tokens T
   * @param width d
   * @param hidden h
   * @param experts n
   * @param k experts of a token
   * @param precision of its products
   * @param opener makes it from a seed
   */
  record Shape(
      String name,
      int tokens,
      int width,
      int hidden,
      int experts,
      int k,
      Precision precision,
      BiFunction<Device, Long, MoE> opener) {

    MoE on(Device device) {
      return opener.apply(device, 1L);
    }

    /** Multiplications and additions of the experts, forward and backward. */
    double flops() {
      return 12.0 * tokens * k * width * hidden;
    }

    /**
     * The fewest bytes of forward and backward in fp32: the experts' weights read in either and
     * their gradients written; x and dy read, y and dx written; the hidden activations written and
     * read. The gate's are left out.
     */
    double bytes() {
      double weights = 2.0 * experts * width * hidden;
      return Float.BYTES * (3 * weights + 5.0 * tokens * width + 2.0 * tokens * k * hidden);
    }
  }

  /** Experts as small as those of [S17]. */
  @MoELayer(
      experts = 256,
      k = 4,
      width = 512,
      tokens = 8192,
      optimizer = Optimizer.NONE,
      precision = Precision.BF16)
  @Expert(hidden = 1024, activation = ActivationFunction.RELU)
  interface SmallExperts extends MoE {}

  /** Wide tokens, as of a large language model. */
  @MoELayer(
      experts = 128,
      k = 8,
      width = 4096,
      tokens = 16384,
      optimizer = Optimizer.NONE,
      precision = Precision.BF16)
  @Expert(hidden = 1024, activation = ActivationFunction.RELU)
  interface WideTokens extends MoE {}

  /** As many experts as [S17] had; all w1 together have 2^31 elements. */
  @MoELayer(
      experts = 4096,
      k = 4,
      width = 512,
      tokens = 16384,
      optimizer = Optimizer.NONE,
      precision = Precision.BF16)
  @Expert(hidden = 1024, activation = ActivationFunction.RELU)
  interface ManyExperts extends MoE {}

  /** Noisy top-k, as in [S17]. */
  @MoELayer(experts = 24, k = 4, width = 40, tokens = 33)
  @Expert(hidden = 36, activation = ActivationFunction.RELU)
  interface Noisy extends MoE {}

  /** Top-k without noise, gated experts. */
  @MoELayer(experts = 5, k = 2, width = 33, tokens = 20, gating = Gating.TOP_K, loadLoss = 0)
  @Expert(hidden = 17, activation = ActivationFunction.SWIGLU)
  interface Gated extends MoE {}

  /** One expert a token, weighed by its probability. */
  @MoELayer(
      experts = 3,
      k = 1,
      width = 24,
      tokens = 65,
      gating = Gating.SOFTMAX_TOP_K,
      loadLoss = 0)
  @Expert(hidden = 70, activation = ActivationFunction.GELU)
  interface Switched extends MoE {}

  /** Enough rows an expert for the wide tile. */
  @MoELayer(experts = 3, k = 2, width = 72, tokens = 200, precision = Precision.BF16)
  @Expert(hidden = 136, activation = ActivationFunction.RELU)
  interface Wide extends MoE {}

  /** A gated layer without a gate. */
  @MoELayer(experts = 1, k = 1, width = 64, tokens = 70)
  @Expert(hidden = 66, activation = ActivationFunction.SWIGLU)
  interface Single extends MoE {}
}
