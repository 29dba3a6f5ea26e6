package dev.topknot.it.reference;

import java.util.Map;

/**
 * A table of word vectors.
 *
 * @param weights [vocabulary, width]
 */
public record Embedding(Matrix weights) {
  /** Looks up {@code ids}; backward yields {@code weights}, and no gradient of an input. */
  public Pass forward(int[] ids) {
    Matrix y = weights.gather(ids);
    return new Pass() {
      @Override
      public Matrix y() {
        return y;
      }

      @Override
      public Gradients backward(Matrix dy) {
        Matrix gradient = Matrix.zeros(weights.rows(), weights.columns());
        gradient.scatterAdd(ids, dy);
        return new Gradients(null, Map.of("weights", gradient));
      }
    };
  }
}
