package dev.topknot.it.cuda;

import dev.topknot.dsl.ActivationFunction;

/** Products and functions in double precision, in plain loops. */
final class Reference {
  private Reference() {}

  static double[] doubles(float[] values, int count) {
    double[] result = new double[count];
    for (int i = 0; i < count; i++) {
      result[i] = values[i];
    }
    return result;
  }

  static double[] doubles(float[] values) {
    return doubles(values, values.length);
  }

  /** a [m, k] times b [n, k] transposed. */
  static double[] nt(double[] a, double[] b, int m, int n, int k) {
    double[] c = new double[m * n];
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        for (int l = 0; l < k; l++) {
          c[i * n + j] += a[i * k + l] * b[j * k + l];
        }
      }
    }
    return c;
  }

  /** a [m, k] times b [k, n]. */
  static double[] nn(double[] a, double[] b, int m, int n, int k) {
    double[] c = new double[m * n];
    for (int i = 0; i < m; i++) {
      for (int l = 0; l < k; l++) {
        for (int j = 0; j < n; j++) {
          c[i * n + j] += a[i * k + l] * b[l * n + j];
        }
      }
    }
    return c;
  }

  /** a [k, m] transposed times b [k, n]. */
  static double[] tn(double[] a, double[] b, int m, int n, int k) {
    double[] c = new double[m * n];
    for (int l = 0; l < k; l++) {
      for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
          c[i * n + j] += a[l * m + i] * b[l * n + j];
        }
      }
    }
    return c;
  }

  static double[] columnSums(double[] a, int rows, int columns) {
    double[] sums = new double[columns];
    for (int i = 0; i < rows * columns; i++) {
      sums[i % columns] += a[i];
    }
    return sums;
  }

  static double[] add(double[] a, double[] b) {
    double[] c = new double[a.length];
    for (int i = 0; i < c.length; i++) {
      c[i] = a[i] + b[i];
    }
    return c;
  }

  static double sigmoid(double x) {
    return 1 / (1 + Math.exp(-x));
  }

  static double activate(ActivationFunction f, double x) {
    return switch (f) {
      case RELU -> Math.max(0, x);
      case GELU -> x * cdf(x);
      case SIGMOID -> sigmoid(x);
      case TANH -> Math.tanh(x);
      case IDENTITY -> x;
      case SWIGLU -> throw new IllegalArgumentException("no element-wise function");
    };
  }

  /** The slope at x, the function's input. */
  static double slope(ActivationFunction f, double x) {
    return switch (f) {
      case RELU -> x > 0 ? 1 : 0;
      case GELU -> cdf(x) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
      case SIGMOID -> sigmoid(x) * (1 - sigmoid(x));
      case TANH -> 1 - Math.tanh(x) * Math.tanh(x);
      case IDENTITY -> 1;
      case SWIGLU -> throw new IllegalArgumentException("no element-wise function");
    };
  }

  /** The normal distribution function: the midpoint rule on its density, error below 1e-9. */
  private static double cdf(double x) {
    int steps = 4000;
    double h = x / steps;
    double sum = 0;
    for (int i = 0; i < steps; i++) {
      double t = (i + 0.5) * h;
      sum += Math.exp(-t * t / 2);
    }
    return 0.5 + sum * h / Math.sqrt(2 * Math.PI);
  }
}
