package dev.topknot.runtime.cuda;

/** The driver, a kernel or a compiler of kernels refused: what it was doing, and what it said. */
public final class CudaException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** A failure, in words. */
  public CudaException(String message) {
    super(message);
  }

  /** A failure, in words, and what caused it. */
  public CudaException(String message, Throwable cause) {
    super(message, cause);
  }
}
