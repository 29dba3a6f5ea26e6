package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Routing;
import dev.topknot.runtime.program.Phase;
import java.util.List;

/**
 * One compiled program of a model or layer: straight-line calls of operations over constant shapes
 * and offsets. Generated code implements it. What a program does not offer is never called by the
 * runtime: only a training program has a backward, only a generating one has probabilities.
 */
public interface CpuProgram {
  /** Runs the layers in order and leaves the loss in the run (where there are targets). */
  void forward(Run run);

  /** Runs the layers in reverse and writes the gradients; follows a forward of the same run. */
  default void backward(Run run) {
    throw new UnsupportedOperationException("this program has no backward");
  }

  /** Writes the global norm of the gradients into the run. */
  default void norm(Run run) {
    throw new UnsupportedOperationException("this program has no optimizer");
  }

  /** Clips by the norm in the run and steps the optimizer; follows {@link #norm}. */
  default void update(Run run) {
    throw new UnsupportedOperationException("this program has no optimizer");
  }

  /** Carries the state of recurrent layers to the next batch; only called when all was finite. */
  default void commit(Run run) {}

  /** The balance of each gated layer in the latest forward, in the order of the layers. */
  default List<Balance> balances(Run run) {
    return List.of();
  }

  /** How each gated layer routed the valid tokens of the latest forward: of EVALUATE only. */
  default List<Routing> routings(Run run) {
    return List.of();
  }

  /** What the steps cost, as {@link Run#begin} numbers them; empty where nobody said. */
  default List<Phase> phases() {
    return List.of();
  }

  /** Probabilities of the next token after the latest forward, one row: of GENERATE only. */
  default Matrix probabilities() {
    throw new UnsupportedOperationException("this program has no probabilities");
  }
}
