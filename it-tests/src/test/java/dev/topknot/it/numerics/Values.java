package dev.topknot.it.numerics;

import dev.topknot.dsl.Precision;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.Products;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** Tensors and parameters of the public interface as matrices. */
final class Values {
  private Values() {}

  /** A tensor of a matrix's values, rounded to float. */
  static Tensor tensor(Device device, Matrix values) {
    Tensor tensor = device.tensor(values.rows(), values.columns());
    tensor.copyFrom(values.toFloats());
    return tensor;
  }

  /** A tensor of NaN. */
  static Tensor poisoned(Device device, int rows, int columns) {
    Tensor tensor = device.tensor(rows, columns);
    tensor.fill(Float.NaN);
    return tensor;
  }

  /** A tensor's values as they are, to the bit. */
  static float[] floats(Tensor tensor) {
    float[] floats = new float[Math.toIntExact(tensor.size())];
    tensor.copyTo(floats);
    return floats;
  }

  /** A tensor of one or two dimensions; of one, as a row. */
  static Matrix matrix(Tensor tensor) {
    long[] shape = tensor.shape();
    int rows = shape.length == 1 ? 1 : Math.toIntExact(shape[0]);
    return Matrix.of(rows, Math.toIntExact(shape[shape.length - 1]), floats(tensor));
  }

  /** The values of parameters by name. */
  static Map<String, Matrix> values(List<Parameter> parameters) {
    return of(parameters, Parameter::value);
  }

  /** The gradients of parameters by name. */
  static Map<String, Matrix> gradients(List<Parameter> parameters) {
    return of(parameters, Parameter::gradient);
  }

  private static Map<String, Matrix> of(
      List<Parameter> parameters, Function<Parameter, Tensor> part) {
    Map<String, Matrix> result = new LinkedHashMap<>();
    for (Parameter parameter : parameters) {
      result.put(parameter.name(), matrix(part.apply(parameter)));
    }
    return result;
  }

  /** Gives every parameter new values, gates included, which otherwise begin at zero. */
  static void draw(List<Parameter> parameters, long seed) {
    Draw draw = new Draw(seed);
    for (Parameter parameter : parameters) {
      long[] shape = parameter.shape();
      int columns = Math.toIntExact(shape[shape.length - 1]);
      int rows = Math.toIntExact(parameter.value().size() / columns);
      parameter.value().copyFrom(draw.weights(rows, columns).toFloats());
    }
  }

  /** Fills the gradients with NaN. */
  static void poisonGradients(List<Parameter> parameters) {
    parameters.forEach(parameter -> parameter.gradient().fill(Float.NaN));
  }

  /** How many of the tokens, each with its chosen experts, each of so many experts gets. */
  static long[] counts(int[][] chosen, int experts) {
    long[] counts = new long[experts];
    Arrays.stream(chosen).flatMapToInt(Arrays::stream).forEach(i -> counts[i]++);
    return counts;
  }

  /** What a CUDA device does to operands of products. */
  static Products cudaProducts(Precision precision) {
    return precision == Precision.BF16 ? Products.BF16 : Products.EXACT;
  }
}
