package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;
import java.util.Arrays;
import java.util.function.DoubleSupplier;

/**
 * A layer and its loss ⟨weights, y⟩ + balancing losses in double precision, with the selection
 * given from outside; gradients are central differences of that loss. Small and slow.
 */
final class DoubleMoE {
  final int tokens;
  final int width;
  final int experts;
  final int k;
  final int hidden;
  final ActivationFunction activation;

  /** [tokens, width]. */
  double[] x;

  /** [experts, width]; none: no gate, one expert. */
  double[] gateWeights;

  /** [experts, width]; none: no noise. */
  double[] noiseWeights;

  /** [experts * hidden, width], [experts * width, hidden], [experts * hidden, width]. */
  double[] w1;

  double[] w2;
  double[] w3;

  /** ξ, [tokens, experts]. */
  double[] noise;

  /** Each token's experts, the largest H first. */
  int[] chosen;

  /** The gradient of y. */
  double[] dy;

  double noiseFloor;
  double importanceLoss;
  double loadLoss;

  /** Whether gate values are probabilities among all experts. */
  boolean amongAll;

  // What the latest loss() computed.
  double[] clean;
  double[] noisy;
  double[] gates;
  double[] importance;
  double[] load;
  double[] y;

  DoubleMoE(int tokens, int width, int experts, int k, int hidden, ActivationFunction activation) {
    this.tokens = tokens;
    this.width = width;
    this.experts = experts;
    this.k = k;
    this.hidden = hidden;
    this.activation = activation;
  }

  double loss() {
    y = new double[tokens * width];
    if (gateWeights == null) {
      for (int t = 0; t < tokens; t++) {
        expert(t, 0, 1);
      }
      return dot(dy, y);
    }
    clean = times(gateWeights);
    noisy = clean.clone();
    double[] sigma = noiseWeights == null ? null : times(noiseWeights);
    if (sigma != null) {
      for (int i = 0; i < sigma.length; i++) {
        sigma[i] = Math.log1p(Math.exp(sigma[i])) + noiseFloor;
        noisy[i] += noise[i] * sigma[i];
      }
    }
    gates = new double[tokens * k];
    importance = new double[experts];
    load = new double[experts];
    for (int t = 0; t < tokens; t++) {
      token(t, sigma);
    }
    return dot(dy, y) + importanceLoss * cvSquared(importance) + loadLoss * cvSquared(load);
  }

  private void token(int t, double[] sigma) {
    int[] own = Arrays.copyOfRange(chosen, t * k, t * k + k);
    double sum = 0;
    for (int i = 0; i < experts; i++) {
      if (amongAll || contains(own, i)) {
        sum += Math.exp(noisy[t * experts + i]);
      }
    }
    for (int j = 0; j < k; j++) {
      double gate = Math.exp(noisy[t * experts + own[j]]) / sum;
      gates[t * k + j] = gate;
      importance[own[j]] += gate;
      expert(t, own[j], gate);
    }
    if (sigma == null || k == experts) {
      for (int i : own) {
        load[i]++;
      }
      return;
    }
    int next = next(t, own);
    for (int i = 0; i < experts; i++) {
      int threshold = contains(own, i) ? next : own[k - 1];
      int at = t * experts + i;
      load[i] += cdf((clean[at] - noisy[t * experts + threshold]) / sigma[at]);
    }
  }

  /** The best that is not chosen. */
  int next(int t, int[] own) {
    int best = -1;
    for (int i = 0; i < experts; i++) {
      if (!contains(own, i) && (best < 0 || noisy[t * experts + i] > noisy[t * experts + best])) {
        best = i;
      }
    }
    return best;
  }

  private void expert(int t, int e, double gate) {
    for (int j = 0; j < hidden; j++) {
      double u = row(w1, e * hidden + j, t);
      double a =
          switch (activation) {
            case RELU -> Math.max(u, 0);
            case GELU -> u * cdf(u);
            case SIGMOID -> 1 / (1 + Math.exp(-u));
            case TANH -> Math.tanh(u);
            case IDENTITY -> u;
            case SWIGLU -> u / (1 + Math.exp(-u)) * row(w3, e * hidden + j, t);
          };
      for (int o = 0; o < width; o++) {
        y[t * width + o] += gate * a * w2[(e * width + o) * hidden + j];
      }
    }
  }

  private double row(double[] weights, int row, int t) {
    double sum = 0;
    for (int i = 0; i < width; i++) {
      sum += weights[row * width + i] * x[t * width + i];
    }
    return sum;
  }

  private double[] times(double[] weights) {
    double[] result = new double[tokens * experts];
    for (int t = 0; t < tokens; t++) {
      for (int i = 0; i < experts; i++) {
        result[t * experts + i] = row(weights, i, t);
      }
    }
    return result;
  }

  /** dLoss/dvalues by central differences. */
  double[] gradient(double[] values) {
    double[] result = new double[values.length];
    for (int i = 0; i < values.length; i++) {
      result[i] = slope(values, i, this::loss);
    }
    return result;
  }

  private static double slope(double[] values, int i, DoubleSupplier loss) {
    double kept = values[i];
    double step = 1e-5;
    values[i] = kept + step;
    double above = loss.getAsDouble();
    values[i] = kept - step;
    double below = loss.getAsDouble();
    values[i] = kept;
    return (above - below) / (2 * step);
  }

  static double cvSquared(double[] v) {
    double mean = Arrays.stream(v).sum() / v.length;
    double variance = Arrays.stream(v).map(a -> (a - mean) * (a - mean)).sum() / v.length;
    return variance / (mean * mean + 1e-10);
  }

  private static boolean contains(int[] values, int value) {
    return Arrays.stream(values).anyMatch(v -> v == value);
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  /** Φ by the series of its density, exact to rounding for |z| &lt; 7. */
  static double cdf(double z) {
    if (Math.abs(z) > 7) {
      return z > 0 ? 1 : 0;
    }
    double term = z;
    double sum = z;
    for (int i = 3; Math.abs(term) > 1e-18 * Math.abs(sum); i += 2) {
      term *= z * z / i;
      sum += term;
    }
    return 0.5 + sum * Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI);
  }
}
