package dev.topknot.it.gpu;

import dev.topknot.it.cuda.TopknotTwin;
import dev.topknot.it.cuda.Twin;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cuda.CudaDevice;
import java.nio.ByteBuffer;
import java.util.zip.CRC32C;

/** Two runs from the same seed leave the same bits. */
final class SameBits {
  private static final int STEPS = 20;

  private SameBits() {}

  static void check(CudaDevice device, Findings findings, boolean small) {
    same(findings, STEPS + " steps of a model", model(device), model(device));
    Shapes.Shape shape = small ? Shapes.SMALL : Shapes.MEASURED.get(0);
    same(
        findings,
        shape.name() + ", forward and backward",
        layer(device, shape),
        layer(device, shape));
  }

  private static void same(Findings findings, String name, String one, String other) {
    findings.check(name, one.equals(other), one + ", then " + other);
  }

  private static String model(CudaDevice device) {
    try (Twin model = TopknotTwin.on(device, 1)) {
      double loss = 0;
      for (int step = 0; step < STEPS; step++) {
        Batch batch = TwinRun.batch(step, TwinRun.TOKENS - step % 3);
        loss = model.train(batch, Update.of(0.01).withClip(1)).loss();
      }
      CRC32C bits = new CRC32C();
      model.parameters().forEach(parameter -> add(bits, parameter.value()));
      return String.format("loss %s, parameters %08x", loss, bits.getValue());
    }
  }

  private static String layer(CudaDevice device, Shapes.Shape shape) {
    try (MoE layer = shape.on(device);
        Operands operands = new Operands(device, shape)) {
      operands.draw(layer, 0);
      operands.y().fill(Float.NaN);
      operands.dx().fill(Float.NaN);
      layer.forward(operands.x(), operands.y());
      layer.backward(operands.dy(), operands.dx());
      CRC32C outputs = new CRC32C();
      add(outputs, operands.y());
      add(outputs, operands.dx());
      CRC32C gradients = new CRC32C();
      for (Parameter parameter : layer.parameters()) {
        add(gradients, parameter.gradient());
      }
      return String.format(
          "y and dx %08x, gradients %08x", outputs.getValue(), gradients.getValue());
    }
  }

  private static void add(CRC32C bits, Tensor tensor) {
    float[] piece = new float[(int) Math.min(1 << 20, tensor.size())];
    ByteBuffer bytes = ByteBuffer.allocate(Float.BYTES * piece.length);
    for (long from = 0; from < tensor.size(); from += piece.length) {
      int count = (int) Math.min(piece.length, tensor.size() - from);
      tensor.read(from, piece, 0, count);
      bytes.clear();
      bytes.asFloatBuffer().put(piece, 0, count);
      bits.update(bytes.limit(Float.BYTES * count));
    }
  }
}
