package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** A stable counting sort of the chosen pairs by expert, tokens ascending within an expert. */
record DispatchOp(String layer, int tokens, int experts, int k) implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens), new Constant("experts", experts), new Constant("k", k));
  }

  @Override
  public long flops(String method) {
    return 0;
  }

  Call forward(Buffer chosen, Routing routing) {
    return Call.of(
        this,
        "forward",
        read(chosen),
        write(routing.offsets()),
        write(routing.rows()),
        write(routing.slots()));
  }
}
