package dev.topknot.benchmark;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.io.IOException;

/** What both peers on DJL need. */
final class Djl {
  private Djl() {}

  /** Its name and version. */
  static String version() {
    return Side.DJL + " " + Engine.getDjlVersion();
  }

  /** An array in PyTorch's own memory: what {@code create} makes lies in a Java buffer. */
  static NDArray create(NDManager manager, float[] values, long... shape) {
    try (NDArray buffer = manager.create(values, new Shape(shape))) {
      return buffer.duplicate();
    }
  }

  /** Writes the gradient of an array, zeros where nothing flowed to it. */
  static void writeGradient(Results.Writer out, String name, NDArray array) throws IOException {
    try (NDArray gradient = array.getGradient()) {
      out.write(name, gradient.toFloatArray());
    }
  }
}
