package dev.topknot.runtime.program;

import dev.topknot.dsl.Optimizer;

/**
 * What the front of a model must know of its shapes.
 *
 * @param batch texts beside each other
 * @param timesteps tokens of each in one batch
 * @param vocabulary number of token ids
 * @param optimizer which moments there are beside the parameters
 */
public record ModelShape(int batch, int timesteps, int vocabulary, Optimizer optimizer) {

  /** Checks that all sizes are positive. */
  public ModelShape {
    Shapes.requirePositive("batch", batch);
    Shapes.requirePositive("timesteps", timesteps);
    Shapes.requirePositive("vocabulary", vocabulary);
    Math.multiplyExact(batch, timesteps);
    Shapes.requireKnown(optimizer);
  }

  /** A shape with Adam. */
  public ModelShape(int batch, int timesteps, int vocabulary) {
    this(batch, timesteps, vocabulary, Optimizer.ADAM);
  }

  /** Tokens of one batch. */
  public int tokens() {
    return batch * timesteps;
  }
}
