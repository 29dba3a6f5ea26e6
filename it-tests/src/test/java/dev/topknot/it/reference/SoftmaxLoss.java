package dev.topknot.it.reference;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The full softmax over a vocabulary with its cross-entropy.
 *
 * @param weights [vocabulary, width]
 * @param bias one row of vocabulary values, or null
 * @param products how its matrices are multiplied
 */
public record SoftmaxLoss(Matrix weights, Matrix bias, Products products) {
  /** A layer whose products are exact. */
  public SoftmaxLoss(Matrix weights, Matrix bias) {
    this(weights, bias, Products.EXACT);
  }

  /**
   * Runs the layer.
   *
   * @param x [tokens, width]
   * @param targets the id each token should predict
   */
  public Forward forward(Matrix x, int[] targets) {
    return new Forward(x, targets);
  }

  /** The layer's forward pass. */
  public final class Forward {
    private final Matrix x;
    private final int[] targets;
    private final Matrix probabilities;

    private Forward(Matrix x, int[] targets) {
      this.x = x;
      this.targets = targets;
      Matrix logits = products.timesTransposed(x, weights);
      probabilities = softmax(bias == null ? logits : logits.plusRow(bias));
    }

    /** The distribution over the vocabulary of every token. */
    public Matrix probabilities() {
      return probabilities;
    }

    /** The mean negative log-likelihood a token, natural log. */
    public double meanLoss() {
      double sum = 0;
      for (int t = 0; t < targets.length; t++) {
        sum -= Math.log(probabilities.get(t, targets[t]));
      }
      return sum / targets.length;
    }

    /** exp(mean loss). */
    public double perplexity() {
      return Math.exp(meanLoss());
    }

    /** The gradients of the mean loss with respect to {@code x} and the parameters. */
    public Gradients backward() {
      Matrix dLogits = probabilities.copy();
      for (int t = 0; t < targets.length; t++) {
        dLogits.add(t, targets[t], -1);
      }
      dLogits = dLogits.scaled(1.0 / targets.length);
      Map<String, Matrix> byName = new LinkedHashMap<>();
      byName.put("weights", products.transposedTimes(dLogits, x));
      if (bias != null) {
        byName.put("bias", dLogits.columnSums());
      }
      return new Gradients(products.times(dLogits, weights), byName);
    }
  }

  /** The softmax of every row. */
  public static Matrix softmax(Matrix logits) {
    Matrix result = Matrix.zeros(logits.rows(), logits.columns());
    for (int t = 0; t < logits.rows(); t++) {
      double max = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < logits.columns(); i++) {
        max = Math.max(max, logits.get(t, i));
      }
      double sum = 0;
      for (int i = 0; i < logits.columns(); i++) {
        sum += Math.exp(logits.get(t, i) - max);
      }
      for (int i = 0; i < logits.columns(); i++) {
        result.set(t, i, Math.exp(logits.get(t, i) - max) / sum);
      }
    }
    return result;
  }
}
