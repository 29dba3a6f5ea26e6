package dev.topknot.it.reference;

import java.util.Arrays;

/**
 * Adam with bias correction, for one parameter. Factored ([S17] app. D), β1 = 0 and the second
 * moment V, kept whole here, counts as rowMean(V) ⊗ colMean(V) / mean(V), or 0 where that mean is.
 */
public final class Adam {
  private final double beta1;
  private final double beta2;
  private final double epsilon;
  private final boolean factored;
  private final Matrix first;
  private final Matrix second;
  private int steps;

  /** An optimizer with zero moments for a parameter of the given shape. */
  public Adam(double beta1, double beta2, double epsilon, int rows, int columns) {
    this(beta1, beta2, epsilon, false, rows, columns);
  }

  private Adam(
      double beta1, double beta2, double epsilon, boolean factored, int rows, int columns) {
    this.beta1 = beta1;
    this.beta2 = beta2;
    this.epsilon = epsilon;
    this.factored = factored;
    first = Matrix.zeros(rows, columns);
    second = Matrix.zeros(rows, columns);
  }

  /** The factored form, with zero moments for a parameter of the given shape. */
  public static Adam factored(double beta2, double epsilon, int rows, int columns) {
    return new Adam(0, beta2, epsilon, true, rows, columns);
  }

  /** A step of others while the parameter is frozen. */
  public void skip() {
    steps++;
  }

  /** Moves {@code parameter} along {@code gradient}. */
  public void step(Matrix parameter, Matrix gradient, double rate) {
    steps++;
    double correction1 = 1 - Math.pow(beta1, steps);
    double correction2 = 1 - Math.pow(beta2, steps);
    double[] m = first.data();
    double[] v = second.data();
    for (int i = 0; i < m.length; i++) {
      double g = gradient.data()[i];
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
    }
    double[] used = factored ? product(second).data() : v;
    for (int i = 0; i < m.length; i++) {
      parameter.data()[i] -=
          rate * (m[i] / correction1) / (Math.sqrt(used[i] / correction2) + epsilon);
    }
  }

  /** rowMean ⊗ colMean / mean. */
  private static Matrix product(Matrix v) {
    Matrix columnMeans = v.columnSums().scaled(1.0 / v.rows());
    Matrix rowMeans = v.transposed().columnSums().scaled(1.0 / v.columns());
    double mean = Arrays.stream(v.data()).average().orElseThrow();
    return mean == 0 ? v.scaled(0) : rowMeans.transposed().times(columnMeans).scaled(1 / mean);
  }
}
