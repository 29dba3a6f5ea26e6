package dev.topknot.runtime;

import java.util.List;

/**
 * What one training step did.
 *
 * @param number its number, from 1
 * @param loss mean over the valid tokens of −ln p, balancing losses not included; the mean over
 *     micro-batches. Where training samples the softmax, p is the sampled estimate, among the
 *     target and the candidates: it shows that training goes on; {@link LanguageModel#evaluate} is
 *     exact
 * @param tokens valid tokens of all micro-batches
 * @param gradientNorm global norm of the gradient, balancing losses included, before clipping
 * @param rate learning rate
 * @param balances of each gated layer in the latest forward, in the order of the layers
 */
public record Step(
    long number,
    double loss,
    long tokens,
    double gradientNorm,
    double rate,
    List<Balance> balances) {

  /** Copies the list. */
  public Step {
    balances = List.copyOf(balances);
  }

  /** e to the loss; where training samples the softmax, an estimate as well. */
  public double perplexity() {
    return Math.exp(loss);
  }

  /**
   * The balance of the first gated layer.
   *
   * @throws IllegalStateException if the model has none
   */
  public Balance balance() {
    return Evaluation.first(balances);
  }
}
