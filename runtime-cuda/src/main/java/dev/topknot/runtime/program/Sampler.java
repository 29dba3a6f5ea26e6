package dev.topknot.runtime.program;

import dev.topknot.runtime.cpu.Noise;

/** Draws token after token from probabilities; the same ones for the same seed on every device. */
final class Sampler {
  private final double temperature;
  private final long seed;
  private final float[] uniform = new float[1];
  private int drawn;

  Sampler(double temperature, long seed) {
    if (!(temperature >= 0 && temperature < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "temperature must be finite and not negative, but is " + temperature);
    }
    this.temperature = temperature;
    this.seed = seed;
  }

  /**
   * One token: of probability proportional to p^(1/temperature), the likeliest at temperature 0.
   */
  int next(float[] probabilities) {
    int best = 0;
    for (int i = 1; i < probabilities.length; i++) {
      if (probabilities[i] > probabilities[best]) {
        best = i;
      }
    }
    if (temperature == 0) {
      return best;
    }
    double[] cumulative = new double[probabilities.length];
    double sum = 0;
    for (int i = 0; i < probabilities.length; i++) {
      sum += StrictMath.pow((double) probabilities[i] / probabilities[best], 1 / temperature);
      cumulative[i] = sum;
    }
    Noise.uniforms(seed, drawn, 0, Noise.stream(0, Noise.Purpose.SAMPLE, 0), uniform, 0, 1);
    drawn++;
    double threshold = uniform[0] * sum;
    for (int i = 0; i < cumulative.length; i++) {
      if (cumulative[i] > threshold) {
        return i;
      }
    }
    return best; // the draw was 1: nothing lies beyond the sum
  }
}
