package dev.topknot.runtime.cuda;

import java.util.HashMap;
import java.util.Map;

/**
 * Starts the kernels of one program of one instance, and knows the addresses that its calls are
 * handed. Only the runtime sets it up; generated code reads addresses from it and launches.
 */
public final class Launches {
  /**
   * Whether each kernel is waited for, and no launches are recorded: slow, but what fails is named.
   */
  static final boolean WAIT = Boolean.getBoolean("topknot.cuda.wait");

  private final Driver driver;
  private final long module;
  private final String spec;
  private final CudaRun run;
  private final Map<String, Long> kernels = new HashMap<>();

  private long x;
  private long y;
  private long dy;
  private long dx;
  private Diagnosis diagnosis;

  Launches(Driver driver, long module, String spec, CudaRun run) {
    this.driver = driver;
    this.module = module;
    this.spec = spec;
    this.run = run;
  }

  /** Sets the operands of a layer's forward. */
  void operands(long input, long output) {
    x = input;
    y = output;
  }

  /** Sets the operands of a layer's backward. */
  void gradients(long outputGradient, long inputGradient) {
    dy = outputGradient;
    dx = inputGradient;
  }

  /** Until it is set to null again, each launch is waited for and each product looked at. */
  void diagnose(Diagnosis by) {
    diagnosis = by;
  }

  /** Address of {@code struct Run}: what varies from run to run. */
  public long run() {
    return run.address();
  }

  /** Address of the token ids that a model reads, 32-bit integers. */
  public long inputs() {
    return run.inputs();
  }

  /** Address of the token ids that a model is to predict, 32-bit integers. */
  public long targets() {
    return run.targets();
  }

  /** Address of the input of a layer that stands alone, [valid, width]. */
  public long x() {
    return x;
  }

  /** Address of the output of a layer that stands alone, [valid, width]. */
  public long y() {
    return y;
  }

  /** Address of the gradient of the output of a layer that stands alone, [valid, width]. */
  public long dy() {
    return dy;
  }

  /** Address of the gradient of the input of a layer that stands alone, [valid, width]. */
  public long dx() {
    return dx;
  }

  /**
   * Starts a kernel.
   *
   * @param kernel its name
   * @param gridX blocks
   * @param gridY blocks
   * @param gridZ blocks
   * @param threads of a block
   * @param sharedBytes dynamic shared memory of a block
   * @param parameters addresses and constants
   * @throws CudaException naming the kernel and the specification
   */
  public void launch(
      String kernel,
      int gridX,
      int gridY,
      int gridZ,
      int threads,
      int sharedBytes,
      long... parameters) {
    try {
      long handle = kernels.computeIfAbsent(kernel, name -> driver.kernel(module, name));
      driver.launch(handle, gridX, gridY, gridZ, threads, sharedBytes, parameters);
      if (WAIT || diagnosis != null) {
        driver.synchronize();
      }
    } catch (CudaException e) {
      throw new CudaException("kernel " + kernel + " of " + spec + ": " + e.getMessage(), e);
    }
  }

  /**
   * Generated code says what it just launched. Does nothing but when a non-finite step is being
   * diagnosed: then the first tensor with a NaN or an infinity in its valid rows is remembered.
   *
   * @param tensor name for the user, such as {@code below.h}
   * @param address of its first float
   * @param rows its rows: tokens, or k a token
   * @param columns its columns
   */
  public void produced(String tensor, long address, long rows, long columns) {
    if (diagnosis != null) {
      diagnosis.look(tensor, address, rows, columns);
    }
  }

  /** Who looks at what a forward produces. */
  interface Diagnosis {
    void look(String tensor, long address, long rows, long columns);
  }
}
