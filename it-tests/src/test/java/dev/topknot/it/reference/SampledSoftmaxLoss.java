package dev.topknot.it.reference;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntToDoubleFunction;

/**
 * The softmax over each token's target and candidates drawn for all tokens, with its cross-entropy:
 * logits corrected by −ln of how often an id is expected among the candidates, the target's too; a
 * candidate that is the token's target is left out, one drawn several times stands as often.
 *
 * @param weights [vocabulary, width]
 * @param bias one row of vocabulary values
 * @param candidates the ids drawn, in any order
 * @param expected how many of them an id is expected to be: their number times its probability
 * @param products how its matrices are multiplied
 */
public record SampledSoftmaxLoss(
    Matrix weights,
    Matrix bias,
    List<Integer> candidates,
    IntToDoubleFunction expected,
    Products products) {
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
    private final Matrix dLogits;
    private double lossSum;

    private Forward(Matrix x, int[] targets) {
      this.x = x;
      Matrix logits = products.timesTransposed(x, weights).plusRow(bias);
      dLogits = Matrix.zeros(x.rows(), weights.rows());
      for (int t = 0; t < targets.length; t++) {
        List<Integer> ids = new ArrayList<>(List.of(targets[t]));
        for (int candidate : candidates) {
          if (candidate != targets[t]) {
            ids.add(candidate);
          }
        }
        double[] corrected = new double[ids.size()];
        for (int i = 0; i < corrected.length; i++) {
          int id = ids.get(i);
          corrected[i] = logits.get(t, id) - Math.log(expected.applyAsDouble(id));
        }
        Matrix softmax = SoftmaxLoss.softmax(Matrix.row(corrected));
        lossSum -= Math.log(softmax.get(0, 0));
        for (int i = 0; i < corrected.length; i++) {
          double one = i == 0 ? 1 : 0;
          dLogits.add(t, ids.get(i), (softmax.get(0, i) - one) / targets.length);
        }
      }
    }

    /** The mean negative log-likelihood a token, natural log. */
    public double meanLoss() {
      return lossSum / x.rows();
    }

    /** The gradients of the mean loss with respect to {@code x} and the parameters. */
    public Gradients backward() {
      Map<String, Matrix> byName = new LinkedHashMap<>();
      byName.put("weights", products.transposedTimes(dLogits, x));
      byName.put("bias", dLogits.columnSums());
      return new Gradients(products.times(dLogits, weights), byName);
    }
  }
}
