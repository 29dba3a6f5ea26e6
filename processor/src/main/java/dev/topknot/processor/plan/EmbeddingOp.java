package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** Token ids [T] to rows of a table: y[t] = weight[ids[t]]. */
record EmbeddingOp(String layer, int tokens, int vocabulary, int width) implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("vocabulary", vocabulary),
        new Constant("width", width));
  }

  @Override
  public long flops(String method) {
    return 0;
  }

  @Override
  public double touched() {
    return Math.min(1.0, (double) tokens / vocabulary);
  }

  Call forward(Buffer ids, Buffer weight, Buffer y) {
    return Call.of(this, "forward", read(ids), read(weight), write(y));
  }

  Call backward(Buffer ids, Buffer dy, Buffer weight) {
    return Call.of(this, "backward", read(ids), read(dy), write(weight.gradient()));
  }
}
