package dev.topknot.runtime;

/**
 * What one step of the optimizer is told: Adam's constants and the clipping norm.
 *
 * @param rate learning rate, finite and not negative
 * @param beta1 decay of the first moment, in [0, 1); {@code Optimizer.ADAM_FACTORED} has none and
 *     ignores it
 * @param beta2 decay of the second moment, in [0, 1)
 * @param epsilon added to the root of the second moment, positive
 * @param clip largest global norm of the gradient, positive; +∞ for no clipping
 */
public record Update(double rate, double beta1, double beta2, double epsilon, double clip) {

  /** Checks every range. */
  public Update {
    require(rate >= 0 && rate < Double.POSITIVE_INFINITY, "rate", "finite and not negative", rate);
    require(beta1 >= 0 && beta1 < 1, "beta1", "in [0, 1)", beta1);
    require(beta2 >= 0 && beta2 < 1, "beta2", "in [0, 1)", beta2);
    require(epsilon > 0 && epsilon < Double.POSITIVE_INFINITY, "epsilon", "positive", epsilon);
    require(clip > 0, "clip", "positive (+infinity for none)", clip);
  }

  /**
   * Adam as published: β1 = 0.9, β2 = 0.999, ε = 1e-8, no clipping.
   *
   * @param rate learning rate
   */
  public static Update of(double rate) {
    return new Update(rate, 0.9, 0.999, 1e-8, Double.POSITIVE_INFINITY);
  }

  /** The same with another learning rate. */
  public Update withRate(double newRate) {
    return new Update(newRate, beta1, beta2, epsilon, clip);
  }

  /** The same with other decays of the two moments. */
  public Update withBetas(double newBeta1, double newBeta2) {
    return new Update(rate, newBeta1, newBeta2, epsilon, clip);
  }

  /** The same with another ε. */
  public Update withEpsilon(double newEpsilon) {
    return new Update(rate, beta1, beta2, newEpsilon, clip);
  }

  /** The same with the gradient scaled down to this global norm where it is longer. */
  public Update withClip(double newClip) {
    return new Update(rate, beta1, beta2, epsilon, newClip);
  }

  private static void require(boolean holds, String name, String expected, double actual) {
    if (!holds) {
      throw new IllegalArgumentException(name + " must be " + expected + ", but is " + actual);
    }
  }
}
