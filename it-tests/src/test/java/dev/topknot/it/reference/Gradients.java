package dev.topknot.it.reference;

import java.util.Map;

/**
 * What a backward pass yields.
 *
 * @param x the gradient with respect to the input, of the input's shape
 * @param byName the gradient of every parameter under its name, of the parameter's shape
 */
public record Gradients(Matrix x, Map<String, Matrix> byName) {
  /** The gradient of one parameter. */
  public Matrix get(String name) {
    Matrix gradient = byName.get(name);
    if (gradient == null) {
      throw new IllegalArgumentException(
          "expected one of " + byName.keySet() + ", got \"" + name + "\"");
    }
    return gradient;
  }
}
