package dev.topknot.it.reference;

import java.util.Collection;

/** What surrounds the optimizer: the learning rate and the clipping of gradients. */
public final class Training {
  private Training() {}

  /**
   * A rate that rises linearly to {@code peak} over {@code warmup} steps and then falls with
   * 1/√step ([S17] app. C).
   *
   * @param step counted from 1
   */
  public static double rate(double peak, int warmup, int step) {
    return peak * Math.min((double) step / warmup, Math.sqrt((double) warmup / step));
  }

  /** ‖g‖ over all gradients. */
  public static double globalNorm(Collection<Matrix> gradients) {
    return Math.sqrt(gradients.stream().mapToDouble(g -> g.dot(g)).sum());
  }

  /** min(1, limit / ‖g‖), what every gradient is multiplied with. */
  public static double clippingFactor(Collection<Matrix> gradients, double limit) {
    double norm = globalNorm(gradients);
    return norm > limit ? limit / norm : 1;
  }
}
