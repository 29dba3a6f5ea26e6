package dev.topknot.runtime.cuda;

import dev.topknot.runtime.program.Program;
import java.io.InputStream;

/** The CUDA programs of one language model: what a generated class fills in. */
public abstract class CudaModel {
  /**
   * Called by generated code.
   *
   * @param context has parameters, but neither workspace nor state
   */
  protected CudaModel(CudaContext context) {}

  /** 32-bit words of the workspace of a program. */
  protected abstract long workspace(Program program);

  /** 32-bit words of what lives within single calls of a program. */
  protected abstract long scratch(Program program);

  /** 32-bit words of carried state of a program. */
  protected abstract long state(Program program);

  /**
   * Opens the source of the kernels or what was built of it.
   *
   * @param extension {@code .cu}, or such as {@code .sm_90a.cubin} and {@code .compute_80.ptx}
   * @return null where there is no such resource
   */
  protected abstract InputStream kernels(String extension);

  /** Builds the training program. */
  protected abstract CudaProgram train(CudaContext context);

  /** Builds the evaluating program. */
  protected abstract CudaProgram evaluate(CudaContext context);

  /** Builds the generating program, of one token. */
  protected abstract CudaProgram generate(CudaContext context);
}
