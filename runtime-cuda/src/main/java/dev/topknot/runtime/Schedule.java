package dev.topknot.runtime;

/** What the optimizer is told at each step. */
@FunctionalInterface
public interface Schedule {
  /**
   * The update of one step.
   *
   * @param step updates done before it, from 0
   */
  Update at(long step);

  /** The same rate at every step, with Adam's published constants. */
  static Schedule constant(double rate) {
    Update update = Update.of(rate);
    return step -> update;
  }

  /**
   * Linear to the peak, then proportional to 1/√step ([S17] appendix C), with Adam's published
   * constants: the first step has rate peak/warmup, step {@code warmupSteps} the peak.
   *
   * @param peakRate the highest rate
   * @param warmupSteps steps to the peak, at least 1
   */
  static Schedule warmupInverseSqrt(double peakRate, long warmupSteps) {
    if (warmupSteps < 1) {
      throw new IllegalArgumentException("warmupSteps must be at least 1, but is " + warmupSteps);
    }
    Update peak = Update.of(peakRate);
    return step -> {
      double n = step + 1;
      double factor = Math.min(n / warmupSteps, Math.sqrt(warmupSteps / n));
      return peak.withRate(peakRate * factor);
    };
  }

  /**
   * The same with the gradient clipped to a global norm.
   *
   * @param clip largest norm, positive; +∞ for no clipping
   */
  default Schedule withClip(double clip) {
    Update.of(0).withClip(clip); // refuses it now, not at the first step
    return step -> at(step).withClip(clip);
  }
}
