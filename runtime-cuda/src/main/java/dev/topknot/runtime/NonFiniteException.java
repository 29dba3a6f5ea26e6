package dev.topknot.runtime;

/**
 * A loss or gradient became NaN or infinite. The step was not done: parameters, moments, step
 * number and carried state are as before.
 */
public final class NonFiniteException extends ArithmeticException {
  private static final long serialVersionUID = 1;

  private final String tensor;

  /**
   * A failed step.
   *
   * @param what is not finite, such as {@code "the loss"}
   * @param value its value
   * @param step updates done before
   * @param tensor the first tensor in the order of computation with a NaN or an infinity
   */
  public NonFiniteException(String what, double value, long step, String tensor) {
    super(
        String.format(
            "%s is %s after %d updates; the first tensor that is not finite is %s;"
                + " nothing was changed",
            what, value, step, tensor));
    this.tensor = tensor;
  }

  /** The first tensor in the order of computation that held a NaN or an infinity. */
  public String tensor() {
    return tensor;
  }
}
