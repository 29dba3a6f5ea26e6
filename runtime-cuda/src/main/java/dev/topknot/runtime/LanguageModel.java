package dev.topknot.runtime;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;

/**
 * A language model compiled from an interface annotated with {@code @MoEModel}, which extends this
 * one. It predicts each next token of {@link #batch} texts that run beside each other, {@link
 * #timesteps} at a time; recurrent state is carried from batch to batch and gradients are cut
 * there.
 *
 * <pre>{@code
 * try (NewsModel model = TopknotNewsModel.on(Device.best(), seed)) {
 *   Step step = model.train(batch, schedule.at(model.step()));
 *   Evaluation test = model.evaluate(heldOut);
 *   model.generate(prompt, 40, 0.8).forEach(...);
 *   model.save(path);
 * }
 * }</pre>
 *
 * <p>Training, evaluation and generation each have activations and state of their own, so that none
 * disturbs another. One thread at a time may use an instance; a second one inside is told so by an
 * {@link IllegalStateException}, as is any use after {@link #close}.
 */
public interface LanguageModel extends AutoCloseable {
  /**
   * One step: {@link #accumulate} and {@link #update}.
   *
   * @throws NonFiniteException if loss or gradient is not finite; nothing has changed then
   */
  default Step train(Batch batch, Update update) {
    accumulate(batch);
    return update(update);
  }

  /**
   * Forward and backward of one micro-batch. The gradient is the mean over the micro-batches since
   * the last update. Each draws noise of its own. In a model compiled without an optimizer the
   * gradient is that of the latest batch, and each batch counts as a step.
   *
   * @return mean loss of the valid tokens, natural logarithm, balancing losses not included; where
   *     training samples the softmax, the estimate that {@link Step#loss} says
   * @throws IllegalArgumentException naming expected and actual, if the batch does not fit
   * @throws NonFiniteException if the loss is not finite; nothing has changed then
   */
  double accumulate(Batch batch);

  /**
   * Steps the optimizer with what was accumulated.
   *
   * @throws IllegalStateException if nothing was
   * @throws UnsupportedOperationException if the model was compiled without an optimizer
   * @throws NonFiniteException if the gradient is not finite; parameters, moments, step and carried
   *     state are then as before the first of the accumulated micro-batches, which are dropped
   */
  Step update(Update update);

  /**
   * Mean loss over some text with noise and dropout off, from zero state, all of the softmax.
   *
   * @throws IllegalArgumentException if there is no batch
   * @throws NonFiniteException if the loss of a batch is not finite
   * @throws EvaluationOverflowException if strictly balanced gating chooses more than {@code
   *     evaluationK} has room for
   */
  Evaluation evaluate(Iterable<Batch> batches);

  /**
   * As the other, and tells of each batch how its valid tokens were routed.
   *
   * @param routed hears of each batch the routing of each gated layer, in the order of the layers;
   *     token t of a routing is token t of the batch. Strictly balanced layers, which send a token
   *     to any number of experts, have none
   */
  Evaluation evaluate(Iterable<Batch> batches, BiConsumer<Batch, List<Routing>> routed);

  /** As the other, sampling with the seed of this model: the same tokens at every call. */
  default IntStream generate(int[] prompt, int count, double temperature) {
    return generate(prompt, count, temperature, seed());
  }

  /**
   * Reads a prompt from zero state, then samples token after token as the stream is consumed. Only
   * the latest stream of an instance can be consumed.
   *
   * @param prompt ids, at least one
   * @param count how many to sample
   * @param temperature 0 for the most probable token, 1 for the model's own probabilities
   * @param seed of the draws
   */
  IntStream generate(int[] prompt, int count, double temperature, long seed);

  /** As the other, without strings of the caller's. */
  default void save(Path path) throws IOException {
    save(path, Map.of());
  }

  /**
   * Saves parameters, moments, step and carried state to one file in the safetensors format,
   * atomically.
   *
   * @param extra strings to keep beside them, such as the position in the data; {@link
   *     Checkpoint#extra} gives them back
   * @throws IOException if it cannot be written; a file of that name is then as it was
   */
  void save(Path path, Map<String, String> extra) throws IOException;

  /**
   * Loads what {@link #save} saved. Of a file of parameters only, moments, step and state are zero;
   * state saved with another batch size is zero, too. Loss weights may differ.
   *
   * @throws CheckpointException naming the first difference, if the file does not fit this model or
   *     has the moments of another optimizer; nothing has changed then
   * @throws IOException if it cannot be read; if that was in the middle of it, some parameters are
   *     those of the file
   */
  void load(Path path) throws IOException;

  /**
   * Another instance over the same parameters for another thread, to evaluate and generate with:
   * without gradients and moments; training it is an {@link IllegalStateException}. The parameters
   * are freed when the last instance closes. Don't use it while another one trains.
   */
  LanguageModel inference();

  /** The layers in the order of application. */
  List<Layer> layers();

  /** The parameters of all layers. */
  List<Parameter> parameters();

  /**
   * How the latest training forward spread its tokens over the experts of one layer.
   *
   * @throws IllegalArgumentException if that layer has no gate
   * @throws IllegalStateException before the first forward
   */
  Balance balance(String layer);

  /** Texts beside each other. */
  int batch();

  /** Tokens of each text in one batch. */
  int timesteps();

  /** Number of token ids. */
  int vocabulary();

  /** Updates done; without an optimizer, batches accumulated. */
  long step();

  /** Seed of parameters, noise and dropout. */
  long seed();

  /** Sets the carried state of training to zero, as at the start of a text. */
  void resetState();

  /** Frees the memory; a second call does nothing. */
  @Override
  void close();
}
