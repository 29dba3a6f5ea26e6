package dev.topknot.dsl;

/** Which optimizer state is planned beside the parameters. */
public enum Optimizer {
  /** Adam: two moments a parameter. */
  ADAM,
  /**
   * Adam with β1 = 0, so without a first moment, and a factored second one ([S17] app. D): of each
   * matrix, each expert's on its own, running means of its squared gradients over every row and
   * every column, whose product over their mean stands for the second moment of each element.
   * Beside parameters and gradients that takes rows + columns floats a matrix; a bias has one row.
   */
  ADAM_FACTORED,
  /** No optimizer: gradients are computed, {@code update} is not available. */
  NONE
}
