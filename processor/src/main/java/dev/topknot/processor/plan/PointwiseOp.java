package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.options;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Grid.blocks;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.processor.model.Modifiers;
import java.util.List;

/** The modifiers of a layer: y = dropout(activation(u)) + x, each part where it is wanted. */
record PointwiseOp(String layer, int tokens, int width, Modifiers modifiers, int streamLayer)
    implements Op {
  /** Threads of a block of pointwise.cuh, with four elements each. */
  private static final int THREADS = 256;

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
  public List<Kernel> kernels(String method) {
    Grid grid = Grid.of(blocks((long) tokens * blocks(width, 4), THREADS));
    Argument[] arguments =
        method.equals("addResidual")
            ? new Argument[] {run(), operand(0), operand(1)}
            : new Argument[] {run(), options(), operand(0), operand(1), operand(2)};
    return List.of(Kernel.of(method + "_elements", grid, THREADS, 0, arguments));
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
