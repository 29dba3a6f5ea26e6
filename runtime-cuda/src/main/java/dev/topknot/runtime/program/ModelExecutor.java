package dev.topknot.runtime.program;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Routing;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.util.List;

/** A compiled language model on its device, behind {@link ModelInstance}. */
public interface ModelExecutor extends Executor {
  /**
   * A whole training step of one batch: forward, backward, norm, update, commit. If the loss or the
   * norm is not finite, parameters, moments and carried state stay as they are.
   *
   * @param batch checked
   * @param step updates done
   * @param seed of noise and dropout
   * @param update constants of the optimizer
   */
  Outcome step(Batch batch, long step, long seed, Update update);

  /**
   * Training forward.
   *
   * @param batch checked
   * @param step updates done
   * @param seed of noise and dropout
   * @param firstToken number of token 0 in noise
   * @return sum of the losses of the valid tokens
   */
  double forward(Batch batch, long step, long seed, int firstToken);

  /** Backward of the latest forward; adds to the gradients or overwrites them. */
  void backward(boolean add);

  /** Carries the state of the latest training forward to the next. */
  void commit();

  /** Remembers the carried state of training. */
  void keepState();

  /** Brings back what {@link #keepState} remembered. */
  void restoreState();

  /** A live view of all carried state of training, one dimension. */
  Tensor state();

  /** Sets the state of evaluation to zero. */
  void startEvaluation();

  /**
   * Evaluating forward; carries its state on.
   *
   * @return sum of the losses of the valid tokens
   */
  double evaluate(Batch batch);

  /** The first tensor that is not finite in the latest {@link #evaluate}. */
  String firstNonFiniteInEvaluation();

  /** The balance of each gated layer in the latest {@link #evaluate}. */
  List<Balance> evaluationBalances();

  /** The routing of each gated layer in the latest {@link #evaluate}, of so many valid tokens. */
  List<Routing> evaluationRoutings(int valid);

  /** Sets the state of generation to zero. */
  void startGeneration();

  /**
   * Reads one token and carries the state on.
   *
   * @param token checked
   * @param probabilities receives those of the next token
   */
  void next(int token, float[] probabilities);

  /** Another executor over the same parameters, without gradients. */
  ModelExecutor inference();

  /**
   * What a step came to.
   *
   * @param lossSum sum of the losses of the valid tokens
   * @param norm of the gradients; not a number when the loss is not finite
   */
  record Outcome(double lossSum, double norm) {}
}
