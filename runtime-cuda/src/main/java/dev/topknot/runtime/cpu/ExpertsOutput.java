package dev.topknot.runtime.cpu;

/**
 * What follows the last hidden layer of experts that have several, out = a·Wᵀ in each slot.
 * Gradients of experts nobody chose are as in {@link Experts}.
 */
public final class ExpertsOutput {
  private final OutputPerceptron perceptron;
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
   * @param hidden length of the last hidden layer, h
   */
  public ExpertsOutput(
      CpuContext context, String layer, int tokens, int width, int experts, int k, int hidden) {
    this(context, layer, tokens, width, experts, k, hidden, 0);
  }

  /** Likewise, of one kind of experts: those of a layer from {@code firstExpert} on. */
  public ExpertsOutput(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      int hidden,
      int firstExpert) {
    perceptron = new OutputPerceptron(context.cpu(), width, hidden);
    routed = new Routed(context.cpu(), tokens, firstExpert, experts, k, perceptron);
  }

  /**
   * Every slot's output, before it is multiplied by its gate.
   *
   * @param a activation of the last hidden layer, [P, h]
   * @param offsets slots of expert e are {@code offsets[e]} to {@code offsets[e + 1]}, [n + 1]
   * @param rows the token of each slot, [P]
   * @param w [n·d, h]
   * @param out written, [P, d]
   */
  public void forward(Run run, Matrix a, Ints offsets, Ints rows, Matrix w, Matrix out) {
    perceptron.a = a;
    perceptron.w = w;
    perceptron.out = out;
    routed.forward(offsets);
  }

  /**
   * The gradients of the latest forward.
   *
   * @param a as in forward
   * @param dy gradient of the layer's output, [T, d]
   * @param offsets as in forward
   * @param rows as in forward
   * @param slots the slot of each pair {@code token · k + choice}, [P]
   * @param gates the gate value of each pair, [T, k]
   * @param w as in forward
   * @param dGates written, [T, k]: ⟨dA′, A⟩ with dA′ = dy·W before the gate
   * @param gatheredDy scratch, [P, d]
   * @param da written, [P, h]: the gradient of a, gate included
   * @param dW written or added to as the run's beta says, [n·d, h]
   */
  public void backward(
      Run run,
      Matrix a,
      Matrix dy,
      Ints offsets,
      Ints rows,
      Ints slots,
      Matrix gates,
      Matrix w,
      Matrix dGates,
      Matrix gatheredDy,
      Matrix da,
      Matrix dW) {
    perceptron.a = a;
    perceptron.dy = gatheredDy;
    perceptron.w = w;
    perceptron.da = da;
    perceptron.dW = dW;
    routed.backward(run, null, dy, offsets, rows, slots, gates, dGates);
  }
}
