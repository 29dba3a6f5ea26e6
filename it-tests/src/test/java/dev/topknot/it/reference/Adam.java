package dev.topknot.it.reference;

/** Adam with bias correction, for one parameter. */
public final class Adam {
  private final double beta1;
  private final double beta2;
  private final double epsilon;
  private final Matrix first;
  private final Matrix second;
  private int steps;

  /** An optimizer with zero moments for a parameter of the given shape. */
  public Adam(double beta1, double beta2, double epsilon, int rows, int columns) {
    this.beta1 = beta1;
    this.beta2 = beta2;
    this.epsilon = epsilon;
    first = Matrix.zeros(rows, columns);
    second = Matrix.zeros(rows, columns);
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
      parameter.data()[i] -=
          rate * (m[i] / correction1) / (Math.sqrt(v[i] / correction2) + epsilon);
    }
  }
}
