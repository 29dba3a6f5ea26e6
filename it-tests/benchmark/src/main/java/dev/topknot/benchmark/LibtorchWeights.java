package dev.topknot.benchmark;

import static org.bytedeco.pytorch.global.torch.empty;

import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A layer's weights and gradients in libtorch's memory.
 *
 * @param gate [experts, width]
 * @param w1 [experts, hidden, width]
 * @param w2 [experts, width, hidden]
 * @param gateGradient as gate
 * @param w1Gradient as w1
 * @param w2Gradient as w2
 */
record LibtorchWeights(
    Tensor gate, Tensor w1, Tensor w2, Tensor gateGradient, Tensor w1Gradient, Tensor w2Gradient) {

  /** The type of indices. */
  static final TensorOptions LONG = new TensorOptions(ScalarType.Long);

  /** Makes them, with the values of both sides. */
  static LibtorchWeights of(Workload.Layer layer) {
    LayerValues values = new LayerValues(layer);
    long experts = layer.experts();
    Tensor gate = empty(experts, layer.width());
    Tensor w1 = empty(experts, layer.hidden(), layer.width());
    Tensor w2 = empty(experts, layer.width(), layer.hidden());
    write(gate, 0, values.gate());
    for (int expert = 0; expert < experts; expert++) {
      write(w1, expert, values.w1(expert));
      write(w2, expert, values.w2(expert));
    }
    return new LibtorchWeights(
        gate,
        w1,
        w2,
        empty(experts, layer.width()),
        empty(experts, layer.hidden(), layer.width()),
        empty(experts, layer.width(), layer.hidden()));
  }

  /** Copies values into the nth part of that many. */
  static void write(Tensor tensor, long part, float[] values) {
    new FloatPointer(tensor.data_ptr()).position(part * values.length).put(values);
  }

  /** Copies the nth part of so many values out. */
  static float[] read(Tensor tensor, long part, int size) {
    float[] values = new float[size];
    new FloatPointer(tensor.data_ptr()).position(part * size).get(values);
    return values;
  }
}
