package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;

/**
 * y = act(x·W1ᵀ)·W2ᵀ on every token: what a layer of one expert compiles to, without a gate ([S17]
 * app. C, MoE-1-Wide).
 */
public final class FeedForward {
  private final PlainPerceptron perceptron;
  private final DenseRows rows;

  /**
   * An op of fixed shapes.
   *
   * @param context threads and products
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param hidden length of the hidden layer, h
   * @param activation of the hidden layer; not SWIGLU
   */
  public FeedForward(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int hidden,
      ActivationFunction activation) {
    perceptron =
        new PlainPerceptron(
            context.cpu(), width, hidden, activation, DenseRows.panelHeight(tokens));
    rows = new DenseRows(context.cpu(), tokens, perceptron);
  }

  /**
   * The output of every valid token.
   *
   * @param x [T, d]
   * @param w1 [h, d]
   * @param w2 [d, h]
   * @param hidden kept for backward, [T, h]: the activation, for GELU its input
   * @param y written, [T, d]
   */
  public void forward(Run run, Matrix x, Matrix w1, Matrix w2, Matrix hidden, Matrix y) {
    perceptron.in = x;
    perceptron.w1 = w1;
    perceptron.w2 = w2;
    perceptron.kept = hidden;
    perceptron.out = y;
    rows.forward(run);
  }

  /**
   * The hidden layer of the latest forward, for a backward that did not keep it.
   *
   * @param x as in forward
   * @param w1 as in forward
   * @param hidden written, [T, h], as by forward
   */
  public void recompute(Run run, Matrix x, Matrix w1, Matrix hidden) {
    perceptron.in = x;
    perceptron.w1 = w1;
    perceptron.kept = hidden;
    rows.recompute(run);
  }

  /**
   * The gradients of the latest forward.
   *
   * @param x as in forward
   * @param w1 as in forward
   * @param w2 as in forward
   * @param hidden as forward left it
   * @param dy gradient of y, [T, d]
   * @param dHidden scratch, [T, h]
   * @param dx written, [T, d]
   * @param dW1 written or added to as the run's beta says, [h, d]
   * @param dW2 likewise, [d, h]
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix w1,
      Matrix w2,
      Matrix hidden,
      Matrix dy,
      Matrix dHidden,
      Matrix dx,
      Matrix dW1,
      Matrix dW2) {
    perceptron.in = x;
    perceptron.w1 = w1;
    perceptron.w2 = w2;
    perceptron.kept = hidden;
    perceptron.dy = dy;
    perceptron.dHidden = dHidden;
    perceptron.dIn = dx;
    perceptron.dW1 = dW1;
    perceptron.dW2 = dW2;
    rows.backward(run);
  }
}
