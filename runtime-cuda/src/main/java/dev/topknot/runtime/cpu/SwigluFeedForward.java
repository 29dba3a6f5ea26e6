package dev.topknot.runtime.cpu;

/** y = (silu(x·W1ᵀ) ⊙ (x·W3ᵀ))·W2ᵀ on every token: the dense twin of {@link SwigluExperts}. */
public final class SwigluFeedForward {
  private final SwigluPerceptron perceptron;
  private final DenseRows rows;

  /**
   * An op of fixed shapes.
   *
   * @param context threads and products
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param hidden length of the hidden layer, h
   */
  public SwigluFeedForward(CpuContext context, String layer, int tokens, int width, int hidden) {
    perceptron = new SwigluPerceptron(context.cpu(), width, hidden);
    rows = new DenseRows(context.cpu(), tokens, perceptron);
  }

  /**
   * The output of every valid token.
   *
   * @param x [T, d]
   * @param w1 [h, d]
   * @param w2 [d, h]
   * @param w3 [h, d]
   * @param u kept for backward, [T, h]: x·W1ᵀ
   * @param v kept for backward, [T, h]: x·W3ᵀ
   * @param hidden scratch, [T, h]
   * @param y written, [T, d]
   */
  public void forward(
      Run run,
      Matrix x,
      Matrix w1,
      Matrix w2,
      Matrix w3,
      Matrix u,
      Matrix v,
      Matrix hidden,
      Matrix y) {
    perceptron.in = x;
    perceptron.w1 = w1;
    perceptron.w2 = w2;
    perceptron.w3 = w3;
    perceptron.u = u;
    perceptron.v = v;
    perceptron.product = hidden;
    perceptron.out = y;
    rows.forward(run);
  }

  /**
   * What the latest forward kept, for a backward that did not keep it.
   *
   * @param x as in forward
   * @param w1 as in forward
   * @param w3 as in forward
   * @param u written, [T, h], as by forward
   * @param v likewise
   */
  public void recompute(Run run, Matrix x, Matrix w1, Matrix w3, Matrix u, Matrix v) {
    perceptron.in = x;
    perceptron.w1 = w1;
    perceptron.w3 = w3;
    perceptron.u = u;
    perceptron.v = v;
    rows.recompute(run);
  }

  /**
   * The gradients of the latest forward.
   *
   * @param x as in forward
   * @param w1 as in forward
   * @param w2 as in forward
   * @param w3 as in forward
   * @param u as forward left it
   * @param v as forward left it
   * @param dy gradient of y, [T, d]
   * @param hidden scratch, [T, h]
   * @param dU scratch, [T, h]
   * @param dV scratch, [T, h]
   * @param dx written, [T, d]
   * @param dW1 written or added to as the run's beta says, [h, d]
   * @param dW2 likewise, [d, h]
   * @param dW3 likewise, [h, d]
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix w1,
      Matrix w2,
      Matrix w3,
      Matrix u,
      Matrix v,
      Matrix dy,
      Matrix hidden,
      Matrix dU,
      Matrix dV,
      Matrix dx,
      Matrix dW1,
      Matrix dW2,
      Matrix dW3) {
    perceptron.in = x;
    perceptron.w1 = w1;
    perceptron.w2 = w2;
    perceptron.w3 = w3;
    perceptron.u = u;
    perceptron.v = v;
    perceptron.product = hidden;
    perceptron.dy = dy;
    perceptron.dU = dU;
    perceptron.dV = dV;
    perceptron.dIn = dx;
    perceptron.dW1 = dW1;
    perceptron.dW2 = dW2;
    perceptron.dW3 = dW3;
    rows.backward(run);
  }
}
