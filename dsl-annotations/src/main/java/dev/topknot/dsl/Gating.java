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
  SOFTMAX_TOP_K,
  /**
   * The softmax over all experts, G_σ = softmax(x·W_g) ([S17] eq. 2): every token visits every
   * expert, so that k must be {@code experts} and nothing is saved. No noise.
   */
  SOFTMAX,
  /**
   * [S17] appendix F: in training each expert keeps the m = k·T/n tokens with the largest softmax
   * value G_σ, ties to the lower token, and a token's gate values are those of the experts that
   * keep it, renormalised to sum to one; a token nobody keeps has the output 0. Every expert gets
   * equally many tokens, k is how many experts a token gets on average, and k·tokens must be a
   * multiple of {@code experts}. Of fewer valid tokens V an expert keeps k·V/n, rounded down.
   *
   * <p>A token's experts then depend on the other tokens of the batch. In evaluation and generation
   * they don't: a token visits the experts where G_σ exceeds the expert's threshold, a parameter
   * that learns to select as the training does: see {@link MoELayer#thresholdLoss}. No noise, and
   * no balancing losses.
   */
  STRICTLY_BALANCED
}
