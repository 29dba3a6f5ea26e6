package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;

/**
 * The experts of a layer, E(x) = act(x·W1ᵀ)·W2ᵀ on the rows that were sent to each ([S17] section
 * 3.2 and app. C). Slots are pairs of a token and an expert, sorted by expert ({@link Dispatch}).
 *
 * <p>After a backward with beta 0 the weight gradients of experts that nobody chose are zero. They
 * are not written again while this op finds them so; it looks at a few elements of each only, so a
 * single element that somebody else sets there between two calls stays.
 */
public final class Experts {
  private final PlainPerceptron perceptron;
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
   * @param activation of the hidden layer; not SWIGLU
   */
  public Experts(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      int hidden,
      ActivationFunction activation) {
    this(context, layer, tokens, width, experts, k, hidden, activation, 0);
  }

  /** Likewise, of one kind of experts: those of a layer from {@code firstExpert} on. */
  public Experts(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      int hidden,
      ActivationFunction activation,
      int firstExpert) {
    perceptron = new PlainPerceptron(context.cpu(), width, hidden, activation, Panels.HEIGHT);
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
   * @param gathered scratch, [P, d]
   * @param hidden kept for backward, [P, h]: the activation, for GELU its input
   * @param out written, [P, d]
   */
  public void forward(
      Run run,
      Matrix x,
      Ints offsets,
      Ints rows,
      Matrix w1,
      Matrix w2,
      Matrix gathered,
      Matrix hidden,
      Matrix out) {
    perceptron.in = gathered;
    perceptron.w1 = w1;
    perceptron.w2 = w2;
    perceptron.kept = hidden;
    perceptron.out = out;
    routed.forward(run, x, offsets, rows);
  }

  /**
   * The hidden layer of the latest forward, for a backward that did not keep it.
   *
   * @param x as in forward
   * @param offsets as in forward
   * @param rows as in forward
   * @param w1 as in forward
   * @param gathered scratch, [P, d]
   * @param hidden written, [P, h], as by forward
   */
  public void recompute(
      Run run, Matrix x, Ints offsets, Ints rows, Matrix w1, Matrix gathered, Matrix hidden) {
    perceptron.in = gathered;
    perceptron.w1 = w1;
    perceptron.kept = hidden;
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
   * @param hidden as forward left it
   * @param dGates written, [T, k]: ⟨dA′, A⟩ with dA′ = dy·W2 before the gate
   * @param gathered scratch, [P, d]
   * @param gatheredDy scratch, [P, d]
   * @param dHidden scratch, [P, h]
   * @param dOut written, [P, d]: the gradient of each slot's input
   * @param dW1 written or added to as the run's beta says, [n·h, d]
   * @param dW2 likewise, [n·d, h]
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
      Matrix hidden,
      Matrix dGates,
      Matrix gathered,
      Matrix gatheredDy,
      Matrix dHidden,
      Matrix dOut,
      Matrix dW1,
      Matrix dW2) {
    perceptron.in = gathered;
    perceptron.dy = gatheredDy;
    perceptron.w1 = w1;
    perceptron.w2 = w2;
    perceptron.kept = hidden;
    perceptron.dHidden = dHidden;
    perceptron.dIn = dOut;
    perceptron.dW1 = dW1;
    perceptron.dW2 = dW2;
    routed.backward(run, x, dy, offsets, rows, slots, gates, dGates);
  }
}
