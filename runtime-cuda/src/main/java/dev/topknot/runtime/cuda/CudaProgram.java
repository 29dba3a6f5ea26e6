package dev.topknot.runtime.cuda;

import java.util.List;

/**
 * One compiled program of a model or layer: straight-line launches with constant grids over
 * constant offsets. Generated code implements it. What a program does not offer is never called by
 * the runtime: only a training program has a backward, only a generating one has probabilities.
 */
public interface CudaProgram {
  /**
   * Launches the layers in order; where there are targets, then the sum of the losses, which goes
   * to the run, and its check, which goes to the run's status.
   */
  void forward(Launches launches);

  /** Launches the layers in reverse; writes or adds to the gradients; follows a forward. */
  default void backward(Launches launches) {
    throw new UnsupportedOperationException("this program has no backward");
  }

  /** Launches the global norm of the gradients, which goes to the run, and its check. */
  default void norm(Launches launches) {
    throw new UnsupportedOperationException("this program has no optimizer");
  }

  /** Launches clipping by the norm in the run and the step of the optimizer. */
  default void update(Launches launches) {
    throw new UnsupportedOperationException("this program has no optimizer");
  }

  /** Launches what carries the state of recurrent layers to the next batch. */
  default void commit(Launches launches) {}

  /** Where the sums of each gated layer lie, in the order of the layers. */
  default List<Gated> gated() {
    return List.of();
  }

  /** Where the choices of each gated layer lie, in the order of the layers: of EVALUATE only. */
  default List<Chosen> chosen() {
    return List.of();
  }

  /** Address of the probabilities of the next token, one row of floats: of GENERATE only. */
  default long probabilities() {
    throw new UnsupportedOperationException("this program has no probabilities");
  }
}
