package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;

/** The element-wise functions in double. */
final class Functions {
  private Functions() {}

  static double apply(ActivationFunction function, double x) {
    return switch (function) {
      case RELU -> Math.max(0, x);
      case GELU -> x * normal(x);
      case SIGMOID -> 1 / (1 + Math.exp(-x));
      case TANH -> Math.tanh(x);
      case IDENTITY -> x;
      case SWIGLU -> throw new IllegalArgumentException("no element-wise function");
    };
  }

  /** The normal distribution function, by its series Φ(x) = ½ + φ(x) · Σ x^(2n+1) / (2n+1)!!. */
  private static double normal(double x) {
    double term = x;
    double sum = x;
    for (int n = 1; n < 200; n++) {
      term *= x * x / (2 * n + 1);
      sum += term;
    }
    return 0.5 + sum * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  }
}
