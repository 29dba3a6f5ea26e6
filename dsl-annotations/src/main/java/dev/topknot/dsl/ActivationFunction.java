package dev.topknot.dsl;

/** The element-wise functions of experts, dense layers and the {@link Activation} modifier. */
public enum ActivationFunction {
  /** max(0, x). */
  RELU,
  /** x·Φ(x), with the exact normal distribution function. */
  GELU,
  /** 1 / (1 + e^−x). */
  SIGMOID,
  /** The hyperbolic tangent. */
  TANH,
  /** x itself. */
  IDENTITY,
  /**
   * silu(x·W1ᵀ) ⊙ (x·W3ᵀ), a gated hidden layer with three weight matrices. Only an {@link Expert}
   * can have it.
   */
  SWIGLU
}
