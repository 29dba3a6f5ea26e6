package dev.topknot.runtime.program;

import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import java.util.Objects;

/**
 * What the front of a layer that stands alone must know of its shapes.
 *
 * @param tokens most rows of one call
 * @param width columns of a row
 * @param experts number of experts
 * @param k experts a token is sent to
 * @param optimizer which moments there are beside the parameters
 * @param precision what large products round their operands to
 */
public record MoEShape(
    int tokens, int width, int experts, int k, Optimizer optimizer, Precision precision) {

  /** Checks that all sizes are positive. */
  public MoEShape {
    Shapes.requirePositive("tokens", tokens);
    Shapes.requirePositive("width", width);
    Shapes.requirePositive("experts", experts);
    Shapes.requirePositive("k", k);
    Objects.requireNonNull(optimizer, "optimizer");
    Objects.requireNonNull(precision, "precision");
  }

  /** A shape with Adam, in fp32. */
  public MoEShape(int tokens, int width, int experts, int k) {
    this(tokens, width, experts, k, Optimizer.ADAM, Precision.FP32);
  }
}
