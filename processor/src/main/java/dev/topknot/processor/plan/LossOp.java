package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Operand.read;

import java.util.List;

/** The sum of the tokens' losses, and whether it is finite: a step of its own on a GPU only. */
record LossOp(String layer, int tokens) implements Op {
  private static final int THREADS = 256;

  @Override
  public List<Constant> constants() {
    return List.of(new Constant("tokens", tokens));
  }

  @Override
  public List<Kernel> kernels(String method) {
    return List.of(
        Kernel.of("forward_total", Grid.of(1), THREADS, THREADS * Double.BYTES, run(), operand(0)));
  }

  Call forward(Buffer losses) {
    return Call.of(this, "forward", read(losses));
  }
}
