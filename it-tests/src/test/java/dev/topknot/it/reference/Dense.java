package dev.topknot.it.reference;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A dense layer act(x Wᵀ + b).
 *
 * @param weights [out, in]
 * @param bias one row of out values, or null
 * @param activation the nonlinearity
 * @param products how its matrices are multiplied
 */
public record Dense(Matrix weights, Matrix bias, Activation activation, Products products) {
  /** A layer whose products are exact. */
  public Dense(Matrix weights, Matrix bias, Activation activation) {
    this(weights, bias, activation, Products.EXACT);
  }

  /** Runs the layer on {@code x} [rows, in]; backward yields {@code weights} and {@code bias}. */
  public Pass forward(Matrix x) {
    Matrix product = products.timesTransposed(x, weights);
    Pass act = activation.forward(bias == null ? product : product.plusRow(bias));
    return new Pass() {
      @Override
      public Matrix y() {
        return act.y();
      }

      @Override
      public Gradients backward(Matrix dy) {
        Matrix dz = act.backward(dy).x();
        Map<String, Matrix> byName = new LinkedHashMap<>();
        byName.put("weights", products.transposedTimes(dz, x));
        if (bias != null) {
          byName.put("bias", dz.columnSums());
        }
        return new Gradients(products.times(dz, weights), byName);
      }
    };
  }
}
