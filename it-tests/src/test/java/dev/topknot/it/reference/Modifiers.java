package dev.topknot.it.reference;

import java.util.Map;

/**
 * What follows a layer, always in this order ([S17] app. C): activation, dropout, residual.
 *
 * @param activation the nonlinearity, IDENTITY for none
 * @param dropout the probability of dropping a value; the kept are divided by 1 − dropout
 * @param residual whether the layer's input is added
 */
public record Modifiers(Activation activation, double dropout, boolean residual) {
  /** No modifier. */
  public static final Modifiers NONE = new Modifiers(Activation.IDENTITY, 0, false);

  /**
   * Applies the modifiers to a layer's output. Backward treats input and output of the layer as
   * independent: its gradient is the output's, and with a residual the caller adds {@code dy} to
   * the input's.
   *
   * @param input the layer's input; read only with a residual
   * @param output the layer's output
   * @param keep 1 where dropout keeps a value, 0 where it drops it; null in evaluation
   */
  public Pass forward(Matrix input, Matrix output, Matrix keep) {
    Pass act = activation.forward(output);
    Matrix dropped = drop(act.y(), keep);
    Matrix y = residual ? dropped.plus(input) : dropped;
    return new Pass() {
      @Override
      public Matrix y() {
        return y;
      }

      @Override
      public Gradients backward(Matrix dy) {
        return new Gradients(act.backward(drop(dy, keep)).x(), Map.of());
      }
    };
  }

  private Matrix drop(Matrix values, Matrix keep) {
    return keep == null ? values : values.hadamard(keep).scaled(1 / (1 - dropout));
  }
}
