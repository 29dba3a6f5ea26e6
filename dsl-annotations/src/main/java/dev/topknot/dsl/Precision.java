package dev.topknot.dsl;

/** What the large matrix products round their operands to. */
public enum Precision {
  /** Nothing: 32-bit floats throughout. */
  FP32,

  /**
   * bfloat16, which tensor cores of GPUs multiply: the range of a 32-bit float, 8 significant bits.
   *
   * <p>Rounded, to the nearest and ties to even, are the operands of every product of {@link
   * Dense}, {@link Softmax} and {@link Expert} layers, forward and backward, and of those products
   * of {@link Lstm} that are done for all time steps at once: of its input with weights, and the
   * gradients of input and weights. They are rounded on their way into the product, whose sums are
   * 32-bit floats; between the products of one {@link Expert} layer a rounded copy may lie in
   * memory.
   *
   * <p>32-bit floats remain: parameters (the master weights), activations that a layer passes on,
   * gradients of parameters, moments and checkpoints, which are as in {@link #FP32}; gates and
   * their noise, where with many experts a product is that of 16 significant bits (an error of 5e-6
   * of its norm); the products within a time step of {@link Lstm}, its projection among them;
   * activation functions, losses, the optimizer.
   *
   * <p>The CPU computes in 32-bit floats whatever the precision; the log says so.
   */
  BF16
}
