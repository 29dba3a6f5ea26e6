package dev.topknot.runtime.program;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.util.List;

/**
 * The memory and the optimizer of an instance on its device: what layers and models have in common.
 * A device implements it; the fronts {@link ModelInstance} and {@link MoEInstance} check arguments
 * and order of calls, and call from one thread at a time.
 */
public interface Executor extends AutoCloseable {
  /** Whether there are gradients. */
  boolean hasGradients();

  /** The moments that there are. */
  List<Moment> moments();

  /** Whether there are moments. */
  default boolean hasMoments() {
    return !moments().isEmpty();
  }

  /** A new live view of one parameter. */
  Tensor parameter(Layout.Slice slice);

  /** A new live view of the gradient of one parameter. */
  Tensor gradient(Layout.Slice slice);

  /** A new live view of a moment of one parameter. */
  Tensor moment(Moment moment, Layout.Slice slice);

  /** Gives all parameters their first values. */
  void initialise(long seed);

  /** Multiplies all gradients by a factor. */
  void scaleGradients(float factor);

  /** Sets all gradients to zero. */
  void zeroGradients();

  /** The global norm of the gradients that are not frozen. */
  double norm();

  /** Steps the optimizer; follows {@link #norm}. */
  void update(Update update, long step);

  /** The balance of each gated layer in the latest training forward. */
  List<Balance> balances();

  /** The first parameter that is not finite, or null. */
  String nonFiniteParameter();

  /**
   * The first tensor that is not finite, in the order of computation: parameters, state and input,
   * what the latest training forward computes (it is run again), gradients.
   *
   * @param inGradients whether the loss was finite and a gradient is not
   */
  String firstNonFinite(boolean inGradients);

  /** Frees the memory; the parameters when no other instance uses them. */
  @Override
  void close();
}
