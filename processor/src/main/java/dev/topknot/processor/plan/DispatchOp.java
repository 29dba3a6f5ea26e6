package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Grid.blocks;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** A stable counting sort of the chosen pairs by expert, tokens ascending within an expert. */
record DispatchOp(String layer, int tokens, int experts, int k) implements Op {
  /** Threads of a block, and pairs of a chunk, of dispatch.cuh. */
  private static final int THREADS = 256;

  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens), new Constant("experts", experts), new Constant("k", k));
  }

  @Override
  public List<Kernel> kernels(String method) {
    return kernels(
        method, (long) tokens * k, experts, operand(0), operand(1), operand(2), operand(3));
  }

  /** The kernels that sort so many pairs. */
  static List<Kernel> kernels(
      String method,
      long pairs,
      int experts,
      Argument chosen,
      Argument offsets,
      Argument rows,
      Argument slots) {
    long chunks = blocks(pairs, THREADS);
    Grid grid = Grid.of(chunks);
    int line = Integer.BYTES * THREADS;
    Argument counts = scratch("counts", Integer.BYTES * chunks * experts);
    Argument totals = scratch("totals", (long) Integer.BYTES * experts);
    return List.of(
        Kernel.of(
            method + "_counts", grid, THREADS, Integer.BYTES * experts, run(), chosen, counts),
        Kernel.of(
            method + "_totals",
            Grid.of(blocks(experts, THREADS)),
            THREADS,
            0,
            run(),
            counts,
            totals),
        Kernel.of(method + "_offsets", Grid.of(1), THREADS, line, totals, offsets),
        Kernel.of(
            method + "_place", grid, THREADS, line, run(), chosen, counts, offsets, rows, slots));
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
