package dev.topknot.runtime;

import java.util.List;

/**
 * How well a model predicts some text.
 *
 * @param loss mean over all valid tokens of −ln p
 * @param tokens valid tokens
 * @param balances of each gated layer in the order of the layers, added up over the text
 */
public record Evaluation(double loss, long tokens, List<Balance> balances) {

  /** Copies the list. */
  public Evaluation {
    balances = List.copyOf(balances);
  }

  /** e to the loss. */
  public double perplexity() {
    return Math.exp(loss);
  }

  /**
   * The balance of the first gated layer.
   *
   * @throws IllegalStateException if the model has none
   */
  public Balance balance() {
    return first(balances);
  }

  static Balance first(List<Balance> balances) {
    if (balances.isEmpty()) {
      throw new IllegalStateException("no layer of this model has a gate, so there is no balance");
    }
    return balances.get(0);
  }
}
