package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.processor.model.Modifiers;
import java.util.List;

/** The modifiers of a layer: y = dropout(activation(u)) + x, each part where it is wanted. */
record PointwiseOp(String layer, int tokens, int width, Modifiers modifiers, int streamLayer)
    implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("activation", modifiers.activation()),
        new Constant("dropout", modifiers.dropout()),
        new Constant("residual", modifiers.residual()),
        new Constant("streamLayer", streamLayer));
  }

  @Override
  public long flops(String method) {
    return 0;
  }

  Call forward(Buffer u, Buffer x, Buffer y) {
    return Call.of(this, "forward", read(u), read(x), write(y));
  }

  Call backward(Buffer u, Buffer dy, Buffer du) {
    return Call.of(this, "backward", read(u), read(dy), write(du));
  }

  Call addResidual(Buffer dy, Buffer dx) {
    return Call.of(this, "addResidual", read(dy), update(dx));
  }
}
