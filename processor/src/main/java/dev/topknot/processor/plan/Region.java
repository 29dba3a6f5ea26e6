package dev.topknot.processor.plan;

/** Where a buffer lives. */
public enum Region {
  /** The parameter arena, shared by all programs and instances. */
  PARAMETERS,
  /** The gradient arena, laid out like the parameters. */
  GRADIENTS,
  /** Adam's first moments, laid out like the parameters. */
  FIRST_MOMENTS,
  /** Adam's second moments, laid out like the parameters. */
  SECOND_MOMENTS,
  /** The row means of factored second moments, of one matrix after the other. */
  ROW_MEANS,
  /** The column means of factored second moments, of one matrix after the other. */
  COLUMN_MEANS,
  /** A program's workspace, in which buffers share memory when their lifetimes allow. */
  WORKSPACE,
  /** A program's carried state, kept from call to call. */
  STATE,
  /** Handed in with each call. */
  CALL
}
