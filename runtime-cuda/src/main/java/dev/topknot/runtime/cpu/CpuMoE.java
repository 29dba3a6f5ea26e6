package dev.topknot.runtime.cpu;

import dev.topknot.runtime.program.Program;

/** The CPU programs of one layer that stands alone: what a generated class fills in. */
public abstract class CpuMoE {
  /**
   * Called by generated code.
   *
   * @param context has parameters, but neither workspace nor state
   */
  protected CpuMoE(CpuContext context) {}

  /** Floats of the workspace of {@link Program#TRAIN} or {@link Program#EVALUATE}. */
  protected abstract long workspace(Program program);

  /** Builds the training program: {@link Program#TRAIN}. */
  protected abstract CpuProgram train(CpuContext context);

  /** Builds the program without noise: {@link Program#EVALUATE}. */
  protected abstract CpuProgram infer(CpuContext context);
}
