package dev.topknot.runtime.cpu;

import dev.topknot.runtime.program.Program;

/** The CPU programs of one language model: what a generated class fills in. */
public abstract class CpuModel {
  /**
   * Called by generated code.
   *
   * @param context has parameters, but neither workspace nor state
   */
  protected CpuModel(CpuContext context) {}

  /** Floats of the workspace of a program. */
  protected abstract long workspace(Program program);

  /** Floats of carried state of a program. */
  protected abstract long state(Program program);

  /** Builds the training program. */
  protected abstract CpuProgram train(CpuContext context);

  /** Builds the evaluating program. */
  protected abstract CpuProgram evaluate(CpuContext context);

  /** Builds the generating program, of one token. */
  protected abstract CpuProgram generate(CpuContext context);
}
