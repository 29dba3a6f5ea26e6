package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Grid.blocks;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** y[t] = Σ gate · out over those of the token's places, one an expert, that have a slot. */
record BalancedCombineOp(String layer, int tokens, int width, int experts) implements Op {
  private static final int WARPS = 8;

  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("experts", experts));
  }

  @Override
  public String source() {
    return "combine";
  }

  @Override
  public List<Kernel> kernels(String method) {
    Argument[] arguments =
        method.equals("forward")
            ? new Argument[] {run(), operand(0), operand(1), operand(2), operand(3)}
            : new Argument[] {run(), operand(0), operand(1), operand(2)};
    return List.of(
        Kernel.of(method + "_rows", Grid.of(blocks(tokens, WARPS)), 32 * WARPS, 0, arguments));
  }

  Call forward(Buffer out, Buffer gates, Buffer slots, Buffer y) {
    return Call.of(this, "forward", read(out), read(gates), read(slots), write(y));
  }

  Call backward(Buffer dOut, Buffer slots, Buffer dx) {
    return Call.of(this, "backward", read(dOut), read(slots), write(dx));
  }
}
