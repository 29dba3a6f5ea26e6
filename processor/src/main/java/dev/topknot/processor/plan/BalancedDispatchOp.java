package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Grid.blocks;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/**
 * The chosen places of a token for each expert, sorted by expert, tokens ascending within an
 * expert; room for T·k of them.
 */
record BalancedDispatchOp(String layer, int tokens, int experts, int k) implements Op {
  /** Threads of a block of dispatch.cuh that does something for all experts. */
  private static final int THREADS = 256;

  /** Threads of a block that has an expert a thread, and the tokens it goes over. */
  private static final int EXPERTS_OF_BLOCK = 128;

  private static final int TOKENS_OF_BLOCK = 64;

  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens), new Constant("experts", experts), new Constant("k", k));
  }

  @Override
  public String source() {
    return "dispatch";
  }

  @Override
  public List<Kernel> kernels(String method) {
    long chunks = blocks(tokens, TOKENS_OF_BLOCK);
    Grid grid = Grid.of(chunks, blocks(experts, EXPERTS_OF_BLOCK));
    Argument counts = scratch("counts", Integer.BYTES * chunks * experts);
    Argument totals = scratch("totals", (long) Integer.BYTES * experts);
    return List.of(
        Kernel.of("forward_counts", grid, EXPERTS_OF_BLOCK, 0, run(), operand(0), counts),
        Kernel.of(
            "forward_totals", Grid.of(blocks(experts, THREADS)), THREADS, 0, run(), counts, totals),
        Kernel.of(
            "forward_offsets",
            Grid.of(1),
            THREADS,
            Integer.BYTES * THREADS,
            run(),
            totals,
            operand(1)),
        Kernel.of(
            "forward_place",
            grid,
            EXPERTS_OF_BLOCK,
            0,
            run(),
            operand(0),
            counts,
            operand(1),
            operand(2),
            operand(3)));
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
