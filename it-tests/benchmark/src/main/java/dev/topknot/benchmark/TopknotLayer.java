package dev.topknot.benchmark;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

/** A layer as Topknot compiled it. */
final class TopknotLayer implements Peer {
  private final LayerValues values;
  private final MoE moe;
  private final Map<String, Parameter> parameters = new HashMap<>();
  private final Tensor x;
  private final Tensor y;
  private final Tensor dy;
  private final Tensor dx;

  TopknotLayer(Workload.Layer layer, int threads) {
    Device device = Device.cpu(threads);
    values = new LayerValues(layer);
    moe = layer.open().apply(device);
    moe.parameters().forEach(p -> parameters.put(p.name(), p));
    value("gate.weight").copyFrom(values.gate());
    for (int expert = 0; expert < layer.experts(); expert++) {
      value(LayerValues.name(expert, "w1")).copyFrom(values.w1(expert));
      value(LayerValues.name(expert, "w2")).copyFrom(values.w2(expert));
    }
    x = device.tensor(layer.tokens(), layer.width());
    y = device.tensor(layer.tokens(), layer.width());
    dy = device.tensor(layer.tokens(), layer.width());
    dx = device.tensor(layer.tokens(), layer.width());
    x.copyFrom(values.x());
    dy.copyFrom(values.dy());
  }

  private Tensor value(String name) {
    return parameters.get(name).value();
  }

  @Override
  public String version() {
    return Side.TOPKNOT.toString();
  }

  @Override
  public void run(Task task) {
    switch (task) {
      case FORWARD -> moe.infer(x, y);
      case FORWARD_BACKWARD -> {
        moe.forward(x, y);
        moe.backward(dy, dx);
      }
      case STEP -> throw new IllegalArgumentException("a layer has no training step");
    }
  }

  @Override
  public void results(Task task, Results.Writer out) throws IOException {
    run(task);
    write(out, "y", y);
    if (task == Task.FORWARD) {
      return;
    }
    write(out, "dx", dx);
    write(out, "gradient of gate", parameters.get("gate.weight").gradient());
    for (int expert : values.compared()) {
      for (String matrix : new String[] {"w1", "w2"}) {
        String name = LayerValues.name(expert, matrix);
        write(out, "gradient of " + name, parameters.get(name).gradient());
      }
    }
  }

  /** Writes a tensor. */
  static void write(Results.Writer out, String name, Tensor tensor) throws IOException {
    float[] copy = new float[Math.toIntExact(tensor.size())];
    tensor.copyTo(copy);
    out.write(name, copy);
  }

  @Override
  public void close() {
    x.close();
    y.close();
    dy.close();
    dx.close();
    moe.close();
  }
}
