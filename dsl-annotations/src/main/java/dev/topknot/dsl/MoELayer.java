package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * A sparsely-gated Mixture-of-Experts layer, [tokens, width] to [tokens, width]: a gate chooses k
 * of the experts for each token, and y = Σ gate · expert(x) over those ([S17] section 2).
 *
 * <p>On an interface that extends {@code dev.topknot.runtime.MoE} it is a layer of its own, which
 * models can use too; there {@link #width} and {@link #tokens} must be given. On a method of a
 * model both follow from the model and may be left out.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target({ElementType.TYPE, ElementType.METHOD})
public @interface MoELayer {
  /**
   * The number of experts, n, all kinds together without shared ones. One expert compiles to a
   * plain feed-forward layer without a gate.
   */
  int experts();

  /**
   * The number of experts that each token is sent to, 1 to {@link #experts}; beside {@link
   * Hierarchy}, in each of its groups; on average, under {@link Gating#STRICTLY_BALANCED}.
   */
  int k();

  /** The length of a token's vector, d. Has no default: left out, it is the model's. */
  int width() default 0;

  /** The most tokens in one call, T. Has no default: left out, it is the model's. */
  int tokens() default 0;

  /** How experts are chosen and weighed. */
  Gating gating() default Gating.NOISY_TOP_K;

  /**
   * The weight of CV²(importance) in the loss ([S17] eq. 7). Without effect under {@link
   * Gating#STRICTLY_BALANCED}.
   */
  double importanceLoss() default 0.1;

  /**
   * The weight of CV²(load) in the loss ([S17] eq. 11). Needs noise and k &lt; experts to have a
   * gradient.
   */
  double loadLoss() default 0.1;

  /** The least standard deviation of the gate's noise. */
  double noiseFloor() default 0.01;

  /**
   * Whether the backward pass computes hidden layers of experts again instead of keeping them from
   * the forward pass: less memory for a model with several such layers, for a sixth more products
   * of experts in a step; two ninths with SWIGLU, up to a third with several hidden layers. Results
   * are the same to the bit.
   */
  boolean recompute() default false;

  /**
   * The weight of L_batchwise ([S17] appendix F), by which the thresholds of {@link
   * Gating#STRICTLY_BALANCED} learn: a sum over the tokens of the batch, whose gradient reaches the
   * gate's weights too. With many tokens it is large beside a mean loss, also in the norm that
   * gradients are clipped by. 0 leaves the thresholds where they start.
   */
  double thresholdLoss() default 1;

  /**
   * Where every threshold of {@link Gating#STRICTLY_BALANCED} starts, a probability below 1. At 0
   * evaluation begins with every token at every expert.
   */
  double threshold() default 0;

  /**
   * How many experts a token is sent to on average at most in an evaluation under {@link
   * Gating#STRICTLY_BALANCED}, {@link #k} to {@link #experts}: memory is planned for so many times
   * the tokens of a call. More is an {@code EvaluationOverflowException}. Left out, it is all
   * experts, which cannot be exceeded.
   */
  int evaluationK() default 0;

  /** The optimizer planned for a layer of its own; in a model, the model's holds. */
  Optimizer optimizer() default Optimizer.ADAM;

  /**
   * What the large products of a layer of its own round their operands to. In a model, the model's
   * holds: on a method this has no effect, which is a warning (TK032), and on an interface it is
   * for instances of the layer alone, not for the models that use it.
   */
  Precision precision() default Precision.FP32;
}
