package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;

/**
 * A hidden layer of experts that have several, a = act(in·Wᵀ) in each slot (MoE-1-Deep of [S17]
 * app. C, with a gate). Gradients of experts nobody chose are as in {@link Experts}.
 */
public final class ExpertsHidden {
  private final boolean gathers;
  private final HiddenPerceptron perceptron;
  private final Routed routed;

  /**
   * An op of fixed shapes.
   *
   * @param context threads and products
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of its input
   * @param experts number of experts, n
   * @param k experts a token, so that there are P = T·k slots
   * @param hidden length of its output, h
   * @param activation not SWIGLU
   * @param gathers whether its input is the tokens', else that of the slots
   */
  public ExpertsHidden(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      int hidden,
      ActivationFunction activation,
      boolean gathers) {
    this(context, layer, tokens, width, experts, k, hidden, activation, gathers, 0);
  }

  /** Likewise, of one kind of experts: those of a layer from {@code firstExpert} on. */
  public ExpertsHidden(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      int hidden,
      ActivationFunction activation,
      boolean gathers,
      int firstExpert) {
    this.gathers = gathers;
    perceptron = new HiddenPerceptron(context.cpu(), width, hidden, activation);
    routed = new Routed(context.cpu(), tokens, firstExpert, experts, k, perceptron);
  }

  /**
   * The activation of every slot.
   *
   * @param in the tokens, [T, width], or rows of the slots, [P, width]
   * @param offsets slots of expert e are {@code offsets[e]} to {@code offsets[e + 1]}, [n + 1]
   * @param rows the token of each slot, [P]
   * @param w [n·h, width]
   * @param gathered scratch, [P, width]; {@code in} where that has rows of the slots
   * @param z kept for backward, [P, h]: for GELU in·Wᵀ, otherwise {@code a}
   * @param a written, [P, h]
   */
  public void forward(
      Run run, Matrix in, Ints offsets, Ints rows, Matrix w, Matrix gathered, Matrix z, Matrix a) {
    perceptron.in = gathered;
    perceptron.w = w;
    perceptron.z = z;
    perceptron.a = a;
    if (gathers) {
      routed.forward(run, in, offsets, rows);
    } else {
      routed.forward(offsets);
    }
  }

  /**
   * The gradients of the latest forward.
   *
   * @param in as in forward
   * @param offsets as in forward
   * @param rows as in forward
   * @param w as in forward
   * @param z as forward left it
   * @param da gradient of a, gate included, [P, h]; becomes that of in·Wᵀ
   * @param gathered as in forward
   * @param dIn written, [P, width]: the gradient of each slot's input
   * @param dW written or added to as the run's beta says, [n·h, width]
   */
  public void backward(
      Run run,
      Matrix in,
      Ints offsets,
      Ints rows,
      Matrix w,
      Matrix z,
      Matrix da,
      Matrix gathered,
      Matrix dIn,
      Matrix dW) {
    perceptron.in = gathered;
    perceptron.w = w;
    perceptron.z = z;
    perceptron.da = da;
    perceptron.dIn = dIn;
    perceptron.dW = dW;
    if (gathers) {
      routed.backward(run, in, offsets, rows);
    } else {
      routed.backward(run, offsets);
    }
  }
}
