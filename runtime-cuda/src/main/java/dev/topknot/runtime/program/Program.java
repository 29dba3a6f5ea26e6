package dev.topknot.runtime.program;

/** The programs that one specification compiles to; they share the parameters. */
public enum Program {
  /** Forward with noise and dropout, keeping what backward needs; backward; update. */
  TRAIN,
  /** Forward over the same tokens without noise, dropout or anything kept. */
  EVALUATE,
  /** Forward of a single token, to sample from the probabilities of the next. */
  GENERATE
}
