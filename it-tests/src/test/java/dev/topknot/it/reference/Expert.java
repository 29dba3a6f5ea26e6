package dev.topknot.it.reference;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One expert: a feed-forward network without biases ([S17] app. C), weights [out, in] named {@code
 * w1}, {@code w2}, ...
 */
public interface Expert {
  /** Runs the network on {@code x} [rows, width]; backward yields the gradient of every weight. */
  Pass forward(Matrix x);

  /** Its weights under their names. */
  Map<String, Matrix> weights();

  /**
   * An expert by the name the DSL gives its activation.
   *
   * @param activation RELU, GELU, SIGMOID, TANH, IDENTITY or SWIGLU
   * @param weights w1, w2, ...; for SWIGLU w1 [hidden, width], w2 [width, hidden], w3 [hidden,
   *     width]
   */
  static Expert of(String activation, List<Matrix> weights) {
    return of(activation, weights, Products.EXACT);
  }

  /** Likewise, with its matrices multiplied so. */
  static Expert of(String activation, List<Matrix> weights, Products products) {
    return activation.equals("SWIGLU")
        ? new SwiGlu(weights.get(0), weights.get(1), weights.get(2), products)
        : new FeedForward(Activation.valueOf(activation), List.copyOf(weights), products);
  }

  /** act(... act(act(x W1) W2) ...) W_last: the activation follows every layer but the last. */
  record FeedForward(Activation activation, List<Matrix> layers, Products products)
      implements Expert {
    @Override
    public Map<String, Matrix> weights() {
      Map<String, Matrix> result = new LinkedHashMap<>();
      for (int i = 0; i < layers.size(); i++) {
        result.put("w" + (i + 1), layers.get(i));
      }
      return result;
    }

    @Override
    public Pass forward(Matrix x) {
      int last = layers.size() - 1;
      Matrix[] inputs = new Matrix[last + 1];
      Pass[] activations = new Pass[last];
      inputs[0] = x;
      for (int i = 0; i < last; i++) {
        activations[i] = activation.forward(products.timesTransposed(inputs[i], layers.get(i)));
        inputs[i + 1] = activations[i].y();
      }
      Matrix y = products.timesTransposed(inputs[last], layers.get(last));
      return new Pass() {
        @Override
        public Matrix y() {
          return y;
        }

        @Override
        public Gradients backward(Matrix dy) {
          Map<String, Matrix> gradients = new LinkedHashMap<>();
          Matrix d = dy;
          for (int i = last; i >= 0; i--) {
            gradients.put("w" + (i + 1), products.transposedTimes(d, inputs[i]));
            d = products.times(d, layers.get(i));
            if (i > 0) {
              d = activations[i - 1].backward(d).x();
            }
          }
          return new Gradients(d, gradients);
        }
      };
    }
  }

  /** (silu(x W1) * (x W3)) W2. */
  record SwiGlu(Matrix w1, Matrix w2, Matrix w3, Products products) implements Expert {
    @Override
    public Map<String, Matrix> weights() {
      return Map.of("w1", w1, "w2", w2, "w3", w3);
    }

    @Override
    public Pass forward(Matrix x) {
      Pass silu = Activation.SILU.forward(products.timesTransposed(x, w1));
      Matrix linear = products.timesTransposed(x, w3);
      Matrix product = silu.y().hadamard(linear);
      Matrix y = products.timesTransposed(product, w2);
      return new Pass() {
        @Override
        public Matrix y() {
          return y;
        }

        @Override
        public Gradients backward(Matrix dy) {
          Matrix dProduct = products.times(dy, w2);
          Matrix dGate = silu.backward(dProduct.hadamard(linear)).x();
          Matrix dLinear = dProduct.hadamard(silu.y());
          return new Gradients(
              products.times(dGate, w1).plus(products.times(dLinear, w3)),
              Map.of(
                  "w1", products.transposedTimes(dGate, x),
                  "w2", products.transposedTimes(dy, product),
                  "w3", products.transposedTimes(dLinear, x)));
        }
      };
    }
  }
}
