package dev.topknot.it.reference;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.function.DoubleSupplier;

/** Compares analytic gradients with central finite differences. */
final class FiniteDifferences {
  private static final double STEP = 1e-4;
  private static final double TOLERANCE = 1e-6;

  private FiniteDifferences() {}

  /**
   * Checks one gradient. Where the differences are zero, as for an expert nobody chose, the
   * gradient must be exactly zero.
   *
   * @param name what a failure is called
   * @param variable what is varied, in place
   * @param gradient the analytic gradient of {@code function} with respect to {@code variable}
   * @param function evaluates the scalar at the current values
   */
  static void check(String name, Matrix variable, Matrix gradient, DoubleSupplier function) {
    Matrix numeric = Matrix.zeros(variable.rows(), variable.columns());
    double[] values = variable.data();
    for (int i = 0; i < values.length; i++) {
      // The fourth-order stencil, whose own error is far below the tolerance.
      double near = at(values, i, STEP, function) - at(values, i, -STEP, function);
      double far = at(values, i, 2 * STEP, function) - at(values, i, -2 * STEP, function);
      numeric.data()[i] = (8 * near - far) / (12 * STEP);
    }
    assertThat(gradient.distanceFrom(numeric)).as("d%s", name).isLessThanOrEqualTo(TOLERANCE);
  }

  private static double at(double[] values, int i, double shift, DoubleSupplier function) {
    double value = values[i];
    values[i] = value + shift;
    double result = function.getAsDouble();
    values[i] = value;
    return result;
  }
}
