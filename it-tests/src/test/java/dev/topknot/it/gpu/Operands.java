package dev.topknot.it.gpu;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import java.util.SplittableRandom;
import java.util.function.LongToDoubleFunction;

/** Inputs and outputs of a layer, [tokens, width] each, and random values for them. */
final class Operands implements AutoCloseable {
  /**
   * The first column of x is one, so that the first column of the gate's [experts, width] is a
   * bias.
   */
  private static final int BIAS = 0;

  /** Of the gate's logits over the tokens, besides noise of deviation ln 2. */
  private static final double LOGIT_DEVIATION = 0.45;

  private final Shapes.Shape shape;
  private final Tensor x;
  private final Tensor y;
  private final Tensor dy;
  private final Tensor dx;

  Operands(Device device, Shapes.Shape shape) {
    this.shape = shape;
    x = device.tensor(shape.tokens(), shape.width());
    y = device.tensor(shape.tokens(), shape.width());
    dy = device.tensor(shape.tokens(), shape.width());
    dx = device.tensor(shape.tokens(), shape.width());
  }

  Tensor x() {
    return x;
  }

  Tensor y() {
    return y;
  }

  Tensor dy() {
    return dy;
  }

  Tensor dx() {
    return dx;
  }

  /**
   * Draws x, dy and the gate; the experts stay as the layer was made.
   *
   * @param skew the logit of expert i is lower by this times ln(i + 1): 0 is uniform routing
   */
  void draw(MoE layer, double skew) {
    SplittableRandom random = new SplittableRandom(1);
    fill(x, at -> at % shape.width() == BIAS ? 1 : uniform(random));
    fill(dy, at -> uniform(random));
    for (Parameter parameter : layer.parameters()) {
      if (parameter.name().endsWith("gate.weight")) {
        fill(
            parameter.value(),
            at ->
                at % shape.width() == BIAS
                    ? -skew * Math.log((double) (1 + at / shape.width()))
                    : LOGIT_DEVIATION / Math.sqrt(shape.width()) * uniform(random));
      }
    }
  }

  private static void fill(Tensor tensor, LongToDoubleFunction values) {
    float[] piece = new float[(int) Math.min(1 << 20, tensor.size())];
    for (long from = 0; from < tensor.size(); from += piece.length) {
      int count = (int) Math.min(piece.length, tensor.size() - from);
      for (int i = 0; i < count; i++) {
        piece[i] = (float) values.applyAsDouble(from + i);
      }
      tensor.write(from, piece, 0, count);
    }
  }

  /** Uniform, of mean 0 and variance 1. */
  private static double uniform(SplittableRandom random) {
    return Math.sqrt(12) * (random.nextDouble() - 0.5);
  }

  @Override
  public void close() {
    x.close();
    y.close();
    dy.close();
    dx.close();
  }
}
