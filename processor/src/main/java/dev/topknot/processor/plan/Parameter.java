package dev.topknot.processor.plan;

/**
 * A parameter tensor, or as many equal ones as there are experts, and its place in the arena.
 *
 * @param layer the layer's name as files say it; empty for a layer of its own
 * @param name with {@code *} for the number of the copy, or {@code 48+*} for 48 more: {@code
 *     experts.*.w1}
 * @param copies how many tensors of this shape lie one after the other
 * @param rows outputs of one copy
 * @param columns inputs of one copy
 * @param offset in elements, within the parameter arena
 * @param init how it is initialised, a constant of the runtime's {@code Init}
 * @param streamLayer the layer's number, which separates random streams
 */
public record Parameter(
    String layer,
    String name,
    int copies,
    long rows,
    long columns,
    long offset,
    Init init,
    int streamLayer) {
  /** How a parameter is initialised; the runtime has an enum of the same constants. */
  public enum Init {
    /** All zero: gates ([S17] app. A) and biases. */
    ZERO,
    /** Uniform within ±√(6 / (rows + columns)). */
    GLOROT_UNIFORM,
    /** Uniform within ±1 / √columns. */
    RECURRENT,
    /** Zero, but 1 for the forget gate. */
    LSTM_BIAS,
    /** Uniform, for tables of token vectors. */
    EMBEDDING_UNIFORM
  }

  /** The name with its layer's, as files say it: {@code below.weight_ih}. */
  public String fullName() {
    return layer.isEmpty() ? name : layer + "." + name;
  }

  /** The number of elements of all copies. */
  public long size() {
    return Math.multiplyExact(copies, Math.multiplyExact(rows, columns));
  }
}
