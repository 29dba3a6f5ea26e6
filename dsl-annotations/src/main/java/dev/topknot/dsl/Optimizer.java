package dev.topknot.dsl;

/** Which optimizer state is planned beside the parameters. */
public enum Optimizer {
  /** Adam: two moments a parameter. */
  ADAM,
  /** Adam with β1 = 0 and a factored second moment ([S17] app. D). Not supported yet: TK024. */
  ADAM_FACTORED,
  /** No optimizer: gradients are computed, {@code update} is not available. */
  NONE
}
