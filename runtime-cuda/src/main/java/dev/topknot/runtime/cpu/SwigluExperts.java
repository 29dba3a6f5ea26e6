package dev.topknot.runtime.cpu;

/**
 * Experts with a gated hidden layer, E(x) = (silu(x·W1ᵀ) ⊙ (x·W3ᵀ))·W2ᵀ, on the rows that were sent
 * to each. Gradients of experts nobody chose are as in {@link Experts}.
 */
public final class SwigluExperts {
  private final SwigluPerceptron perceptron;
  private final Routed routed;

  /**
   * An op of fixed shapes.
   *
   * @param context threads and products
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param experts number of experts, n
   * @param k experts a token, so that there are P = T·k slots
   * @param hidden length of an expert's hidden layer, h
   */
  public SwigluExperts(
      CpuContext context, String layer, int tokens, int width, int experts, int k, int hidden) {
    this(context, layer, tokens, width, experts, k, hidden, 0);
  }

  /** Likewise, of one kind of experts: those of a layer from {@code firstExpert} on. */
  public SwigluExperts(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      int hidden,
      int firstExpert) {
    perceptron = new SwigluPerceptron(context.cpu(), width, hidden);
    routed = new Routed(context.cpu(), tokens, firstExpert, experts, k, perceptron);
  }

  /**
   * Every slot's output, before it is multiplied by its gate.
   *
   * @param x the tokens, [T, d]
   * @param offsets slots of expert e are {@code offsets[e]} to {@code offsets[e + 1]}, [n + 1]
   * @param rows the token of each slot, [P]
   * @param w1 [n·h, d]
   * @param w2 [n·d, h]
   * @param w3 [n·h, d]
   * @param gathered scratch, [P, d]
   * @param u kept for backward, [P, h]: x·W1ᵀ
   * @param v kept for backward, [P, h]: x·W3ᵀ
   * @param hidden scratch, [P, h]
   * @param out written, [P, d]
   */
  public void forward(
      Run run,
      Matrix x,
      Ints offsets,
      Ints rows,
      Matrix w1,
      Matrix w2,
      Matrix w3,
      Matrix gathered,
      Matrix u,
      Matrix v,
      Matrix hidden,
      Matrix out) {
    perceptron.in = gathered;
    perceptron.w1 = w1;
    perceptron.w2 = w2;
    perceptron.w3 = w3;
    perceptron.u = u;
    perceptron.v = v;
    perceptron.product = hidden;
    perceptron.out = out;
    routed.forward(run, x, offsets, rows);
  }

  /**
   * What the latest forward kept, for a backward that did not keep it.
   *
   * @param x as in forward
   * @param offsets as in forward
   * @param rows as in forward
   * @param w1 as in forward
   * @param w3 as in forward
   * @param gathered scratch, [P, d]
   * @param u written, [P, h], as by forward
   * @param v likewise
   */
  public void recompute(
      Run run,
      Matrix x,
      Ints offsets,
      Ints rows,
      Matrix w1,
      Matrix w3,
      Matrix gathered,
      Matrix u,
      Matrix v) {
    perceptron.in = gathered;
    perceptron.w1 = w1;
    perceptron.w3 = w3;
    perceptron.u = u;
    perceptron.v = v;
    routed.recompute(run, x, offsets, rows);
  }

  /**
   * The gradients of the latest forward.
   *
   * @param x as in forward
   * @param dy gradient of the layer's output, [T, d]
   * @param offsets as in forward
   * @param rows as in forward
   * @param slots the slot of each pair {@code token · k + choice}, [P]
   * @param gates the gate value of each pair, [T, k]
   * @param w1 as in forward
   * @param w2 as in forward
   * @param w3 as in forward
   * @param u as forward left it
   * @param v as forward left it
   * @param dGates written, [T, k]: ⟨dA′, A⟩ with dA′ = dy·W2 before the gate, A the product
   * @param gathered scratch, [P, d]
   * @param gatheredDy scratch, [P, d]
   * @param hidden scratch, [P, h]
   * @param dU scratch, [P, h]
   * @param dV scratch, [P, h]
   * @param dOut written, [P, d]: the gradient of each slot's input
   * @param dW1 written or added to as the run's beta says, [n·h, d]
   * @param dW2 likewise, [n·d, h]
   * @param dW3 likewise, [n·h, d]
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix dy,
      Ints offsets,
      Ints rows,
      Ints slots,
      Matrix gates,
      Matrix w1,
      Matrix w2,
      Matrix w3,
      Matrix u,
      Matrix v,
      Matrix dGates,
      Matrix gathered,
      Matrix gatheredDy,
      Matrix hidden,
      Matrix dU,
      Matrix dV,
      Matrix dOut,
      Matrix dW1,
      Matrix dW2,
      Matrix dW3) {
    perceptron.in = gathered;
    perceptron.dy = gatheredDy;
    perceptron.w1 = w1;
    perceptron.w2 = w2;
    perceptron.w3 = w3;
    perceptron.u = u;
    perceptron.v = v;
    perceptron.product = hidden;
    perceptron.dU = dU;
    perceptron.dV = dV;
    perceptron.dIn = dOut;
    perceptron.dW1 = dW1;
    perceptron.dW2 = dW2;
    perceptron.dW3 = dW3;
    routed.backward(run, x, dy, offsets, rows, slots, gates, dGates);
  }
}
