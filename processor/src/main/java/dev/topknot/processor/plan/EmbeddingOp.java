package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Grid.blocks;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** Token ids [T] to rows of a table: y[t] = weight[ids[t]]. */
record EmbeddingOp(String layer, int tokens, int vocabulary, int width) implements Op {
  // of embedding.cuh: a warp has a token and 128 columns
  private static final int WARPS = 8;
  private static final int THREADS = 32 * WARPS;
  private static final int COLUMNS = 128;

  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("vocabulary", vocabulary),
        new Constant("width", width));
  }

  @Override
  public double touched() {
    return Math.min(1.0, (double) tokens / vocabulary);
  }

  @Override
  public List<Kernel> kernels(String method) {
    Grid rows = Grid.of(blocks(tokens, WARPS), blocks(width, COLUMNS));
    if (method.equals("forward")) {
      return List.of(
          Kernel.of("forward_rows", rows, THREADS, 0, run(), operand(0), operand(1), operand(2)));
    }
    Grid table = Grid.of(blocks((long) vocabulary * width, 4 * THREADS));
    return List.of(
        Kernel.of("backward_clear", table, THREADS, 0, run(), operand(2)),
        Kernel.of("backward_sums", rows, THREADS, 0, run(), operand(0), operand(1), operand(2)));
  }

  Call forward(Buffer ids, Buffer weight, Buffer y) {
    return Call.of(this, "forward", read(ids), read(weight), write(y));
  }

  Call backward(Buffer ids, Buffer dy, Buffer weight) {
    return Call.of(this, "backward", read(ids), read(dy), write(weight.gradient()));
  }
}
