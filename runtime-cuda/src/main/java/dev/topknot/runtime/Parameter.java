package dev.topknot.runtime;

/**
 * One weight matrix or bias of a layer, with its gradient. The tensors are live views: they show
 * what the latest backward and update left, and end with the instance that they came from.
 */
public interface Parameter {
  /**
   * Name with the layer's, as in a saved file: {@code experts.experts.3.w1}, or {@code
   * experts.3.w1} of a layer that stands alone.
   */
  String name();

  /** Its dimensions: [outputs, inputs] of a matrix, [outputs] of a bias. */
  long[] shape();

  /** The values. Writing to them is allowed between steps. */
  Tensor value();

  /**
   * The gradient that the latest backward left, before clipping.
   *
   * @throws IllegalStateException in an instance for inference, which has none
   */
  Tensor gradient();

  /** Whether updates leave it alone. */
  boolean frozen();

  /** Decides whether updates leave it alone; its moments then stay as they are, too. */
  void freeze(boolean frozen);
}
