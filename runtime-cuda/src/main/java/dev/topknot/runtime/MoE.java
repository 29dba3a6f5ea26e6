package dev.topknot.runtime;

import java.io.IOException;
import java.nio.file.Path;

/**
 * A sparsely gated mixture-of-experts layer ([S17]): a gate sends each token to k experts and adds
 * up what they answer. A specification annotated with {@code @MoELayer} extends this interface.
 *
 * <pre>{@code
 * try (NewsExperts moe = TopknotNewsExperts.on(Device.best(), seed)) {
 *   moe.forward(x, y);
 *   moe.backward(dy, dx);
 *   moe.update(Update.of(1e-3));
 *   moe.infer(x, y);
 * }
 * }</pre>
 *
 * <p>Tokens are rows: x and y are [rows, width] with 0 to {@code tokens} rows, and all of them are
 * valid. With no rows nothing is computed. y must not be x, and dx neither x nor dy.
 *
 * <p>One thread at a time may use an instance; a second one inside is told so by an {@link
 * IllegalStateException}, as is any use after {@link #close}.
 *
 * <p>The layer of a model is a handle: parameters, freezing and balance work, the model does the
 * stepping, and calling a method that steps is an {@link IllegalStateException}.
 */
public interface MoE extends Layer, AutoCloseable {
  /**
   * Computes y from x for training: gate noise on, activations kept. x must not be changed or
   * closed before its backward.
   *
   * @param x [rows, width]
   * @param y [rows, width], overwritten
   * @throws IllegalArgumentException naming the expected and the actual shape or device
   */
  void forward(Tensor x, Tensor y);

  /**
   * Computes the gradients of the latest forward, balancing losses included, and overwrites those
   * of the parameters. Each forward has one backward.
   *
   * @param dy [rows, width], gradient of the loss by y
   * @param dx [rows, width], overwritten with the gradient by x
   * @throws IllegalStateException without a forward before
   */
  void backward(Tensor dy, Tensor dx);

  /**
   * As {@link #backward}, but adds to the gradients of the parameters; the first call after an
   * update starts from zero.
   */
  void accumulate(Tensor dy, Tensor dx);

  /**
   * Steps Adam with the gradients.
   *
   * @return the global norm of the gradient, before clipping
   * @throws IllegalStateException without a backward since the last update
   * @throws NonFiniteException if the gradient is not finite; nothing has changed then
   */
  double update(Update update);

  /**
   * Computes y from x, [rows, width], with noise off; keeps nothing and disturbs no backward.
   *
   * @throws EvaluationOverflowException if strictly balanced gating chooses more than {@code
   *     evaluationK} has room for; y is then of no use
   * @throws NonFiniteException if that is because a parameter is not finite
   */
  void infer(Tensor x, Tensor y);

  /**
   * How the latest {@link #forward} spread its tokens.
   *
   * @throws IllegalStateException before the first
   */
  Balance balance();

  /** Updates done; without an optimizer, calls of {@link #backward}. */
  long step();

  /**
   * Saves parameters, moments and step to one file in the safetensors format, atomically.
   *
   * @throws IOException if it cannot be written; a file of that name is then as it was
   */
  void save(Path path) throws IOException;

  /**
   * Loads what {@link #save} saved, or a file of parameters only (moments and step are then zero).
   *
   * @throws CheckpointException naming the first difference, if the file does not fit this layer or
   *     has the moments of another optimizer; nothing has changed then
   * @throws IOException if it cannot be read; if that was in the middle of it, some parameters are
   *     those of the file
   */
  void load(Path path) throws IOException;

  /**
   * Another instance over the same parameters for another thread: {@link #infer} only, without
   * gradients or moments. The parameters are freed when the last instance closes.
   */
  MoE inference();

  /** Frees the memory; a second call does nothing. */
  @Override
  void close();
}
