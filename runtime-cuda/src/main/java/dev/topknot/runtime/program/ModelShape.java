package dev.topknot.runtime.program;

import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import java.util.Objects;

/**
 * What the front of a model must know of its shapes.
 *
 * @param batch texts beside each other
 * @param timesteps tokens of each in one batch
 * @param vocabulary number of token ids
 * @param optimizer which moments there are beside the parameters
 * @param precision what large products round their operands to
 */
public record ModelShape(
    int batch, int timesteps, int vocabulary, Optimizer optimizer, Precision precision) {

  /** Checks that all sizes are positive. */
  public ModelShape {
    Shapes.requirePositive("batch", batch);
    Shapes.requirePositive("timesteps", timesteps);
    Shapes.requirePositive("vocabulary", vocabulary);
    Math.multiplyExact(batch, timesteps);
    Objects.requireNonNull(optimizer, "optimizer");
    Objects.requireNonNull(precision, "precision");
  }

  /** A shape with Adam, in fp32. */
  public ModelShape(int batch, int timesteps, int vocabulary) {
    this(batch, timesteps, vocabulary, Optimizer.ADAM, Precision.FP32);
  }

  /** Tokens of one batch. */
  public int tokens() {
    return batch * timesteps;
  }
}
