package dev.topknot.runtime.cuda;

/** What makes machine code of a kernel's source. */
interface KernelCompiler {
  /** For messages: {@code NVRTC} or {@code nvcc}. */
  String name();

  /**
   * Its version.
   *
   * @throws CudaException saying why it cannot be used
   */
  String version();

  /**
   * Compiles to a cubin or to PTX, without a zero at its end.
   *
   * @param architecture such as {@code sm_90a}, or {@code compute_80} for PTX
   * @throws CudaException with what the compiler said
   */
  byte[] compile(KernelSource source, String architecture);
}
