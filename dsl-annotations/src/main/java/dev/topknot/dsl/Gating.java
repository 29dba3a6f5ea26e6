package dev.topknot.dsl;

/** How a gate chooses the experts of a token and weighs their outputs. */
public enum Gating {
  /**
   * [S17] eq. 3-5: H = x·W_g + ξ·(softplus(x·W_noise) + noiseFloor), ξ ~ N(0, 1) in training and 0
   * in evaluation; the k largest of H are kept, and the gate values are their softmax. The load of
   * each expert is estimated smoothly, so that the balancing losses reach both weight matrices.
   * With k = 1 the gate value is always 1 and the gate learns through the losses only.
   */
  NOISY_TOP_K,
  /** The k largest of x·W_g, then the softmax over them. No noise. */
  TOP_K,
  /**
   * The softmax over all experts, then its k largest; with k &gt; 1 renormalised to sum to one,
   * with k = 1 the probability itself, through which the gate learns. No noise.
   */
  SOFTMAX_TOP_K
}
