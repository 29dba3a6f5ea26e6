package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Grid.blocks;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** y[t] = Σ gate · out over the token's slots, in ascending expert order. */
record CombineOp(String layer, int tokens, int width, int k) implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens), new Constant("width", width), new Constant("k", k));
  }

  @Override
  public long flops(String method) {
    return 2L * tokens * k * width;
  }

  @Override
  public List<Kernel> kernels(String method) {
    Argument[] arguments =
        method.equals("forward")
            ? new Argument[] {run(), operand(0), operand(1), operand(2), operand(3)}
            : new Argument[] {run(), operand(0), operand(1), operand(2)};
    return List.of(rows(method + "_rows", tokens, k, arguments));
  }

  /** Something that a warp adds up over the k slots of a token. */
  static Kernel rows(String name, int tokens, int k, Argument... arguments) {
    int warps = GateKernels.warps(k);
    return Kernel.of(
        name,
        Grid.of(blocks(tokens, warps)),
        32 * warps,
        (Integer.BYTES + Float.BYTES) * k * warps,
        arguments);
  }

  Call forward(Buffer out, Buffer gates, Buffer slots, Buffer y) {
    return Call.of(this, "forward", read(out), read(gates), read(slots), write(y));
  }

  Call backward(Buffer dOut, Buffer slots, Buffer dx) {
    return Call.of(this, "backward", read(dOut), read(slots), write(dx));
  }
}
