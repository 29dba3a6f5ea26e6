package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;

/**
 * Element-wise functions on heap tiles, and their slopes from what forward kept: the output where
 * the slope follows from it, the input for GELU.
 */
final class Activations {
  private Activations() {}

  /** Whether the slope needs the function's input; otherwise its output is enough. */
  static boolean keepsInput(ActivationFunction function) {
    return function == ActivationFunction.GELU;
  }

  /** x := f(x) for {@code count} floats. */
  static void apply(ActivationFunction function, float[] x, int at, int count) {
    switch (function) {
      case RELU -> {
        for (int i = at; i < at + count; i++) {
          x[i] = Math.max(x[i], 0);
        }
      }
      case GELU -> VectorMath.gelu(x, at, x, at, count);
      case SIGMOID -> VectorMath.sigmoid(x, at, x, at, count);
      case TANH -> VectorMath.tanh(x, at, x, at, count);
      case IDENTITY -> {}
      case SWIGLU -> throw notElementWise(function);
    }
  }

  /**
   * Multiplies a gradient by f′.
   *
   * @param kept f's input where {@link #keepsInput}, else its output
   * @param gradient of the output; becomes that of the input
   */
  static void slope(
      ActivationFunction function,
      float[] kept,
      int keptAt,
      float[] gradient,
      int gradientAt,
      int count) {
    switch (function) {
      case RELU -> {
        for (int i = 0; i < count; i++) {
          // 1 where the output is positive, else 0, denormal or not; no branch, so it vectorises
          float positive = Math.min(1, kept[keptAt + i] * Float.MAX_VALUE * Float.MAX_VALUE);
          gradient[gradientAt + i] *= positive;
        }
      }
      case GELU -> VectorMath.geluSlope(kept, keptAt, gradient, gradientAt, count);
      case SIGMOID -> {
        for (int i = 0; i < count; i++) {
          float y = kept[keptAt + i];
          gradient[gradientAt + i] *= y * (1 - y);
        }
      }
      case TANH -> {
        for (int i = 0; i < count; i++) {
          float y = kept[keptAt + i];
          gradient[gradientAt + i] *= 1 - y * y;
        }
      }
      case IDENTITY -> {}
      case SWIGLU -> throw notElementWise(function);
    }
  }

  private static IllegalArgumentException notElementWise(ActivationFunction function) {
    return new IllegalArgumentException(
        function + " is no element-wise function: it has weights of its own");
  }
}
