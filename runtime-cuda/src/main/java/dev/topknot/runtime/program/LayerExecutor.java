package dev.topknot.runtime.program;

import dev.topknot.runtime.Tensor;

/** A compiled layer that stands alone on its device, behind {@link MoEInstance}. */
public interface LayerExecutor extends Executor {
  /**
   * Whether a tensor lies on this device, is open and can be an operand.
   *
   * @throws IllegalArgumentException naming expected and actual device
   */
  void requireUsable(String name, Tensor tensor);

  /** Whether two usable tensors share memory. */
  boolean overlap(Tensor a, Tensor b);

  /** Whether a usable tensor shares memory with the input of the latest forward. */
  boolean overlapsInput(Tensor tensor);

  /**
   * Training forward over all rows of x.
   *
   * @param step updates done
   * @param seed of noise
   * @param firstToken number of row 0 in noise
   */
  void forward(Tensor x, Tensor y, long step, long seed, int firstToken);

  /**
   * Fails if the input of the latest forward is no longer what it was.
   *
   * @throws IllegalStateException if x was closed or written to
   */
  void requireUnchangedInput();

  /** Backward of the latest forward; adds to the gradients or overwrites them. */
  void backward(Tensor dy, Tensor dx, boolean add);

  /** Forward without noise over all rows of x. */
  void infer(Tensor x, Tensor y);

  /** Another executor over the same parameters, without gradients. */
  LayerExecutor inference();
}
