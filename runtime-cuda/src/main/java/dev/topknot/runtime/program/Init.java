package dev.topknot.runtime.program;

/**
 * Where the first values of a parameter come from. Uniform values are drawn from the counter-based
 * noise under the purpose INIT, so that they are the same on every device for one seed.
 */
public enum Init {
  /** All zero: biases, and the gates of an MoE layer ([S17] appendix A). */
  ZERO,
  /** Uniform in ±√(6 / (rows + columns)), each copy on its own. */
  GLOROT_UNIFORM,
  /**
   * Zero, but 1 in the second quarter: the forget gate of an LSTM (gates in the order i, f, g, o).
   */
  LSTM_BIAS,
  /** Uniform in ±0.1: rows of an embedding. */
  EMBEDDING_UNIFORM,
  /** All of one value, the entry's own. */
  CONSTANT,
  /** Uniform in ±1/√columns: the recurrent weights of an LSTM of that many units. */
  RECURRENT
}
