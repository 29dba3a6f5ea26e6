package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Grid.blocks;

import dev.topknot.processor.model.MoE;

/** Shapes of the launches that both gates share; the numbers are those of gate.cuh. */
record GateKernels(int tokens, int width, int experts, int k) {
  /** Of every product, whatever the experts' precision: a choice must not depend on it. */
  private static final Tile TILE = Tile.FP32;

  /** Threads of a block that has an expert a thread. */
  private static final int EXPERTS_OF_BLOCK = 128;

  private static final int TOKENS_OF_BLOCK = 64;
  private static final int WARP = 32;
  private static final int WARPS = 8;
  private static final int THREADS = WARPS * WARP;

  GateKernels(int tokens, int width, MoE moe) {
    this(tokens, width, moe.experts(), moe.k());
  }

  /** Tokens of a block, one a warp, where a token needs shared memory for each choice. */
  static int warps(int k) {
    return k < 256 ? WARPS : 1;
  }

  /** Logits of so many pairs of operands. */
  Kernel logits(String method, int products, Argument... arguments) {
    Grid grid = TILE.grid(tokens, experts, products);
    return Kernel.of(method + "_logits", grid, TILE, TILE.sharedBytes(), arguments)
        .costing(
            2L * products * tokens * width * experts,
            4L * tokens * width + 4L * products * experts * ((long) tokens + width));
  }

  Kernel select(String method, Argument... arguments) {
    int warps = warps(k);
    return Kernel.of(
        method + "_select",
        Grid.of(blocks(tokens, warps)),
        WARP * warps,
        Long.BYTES * (k + 1) * warps,
        arguments);
  }

  Kernel partials(String method, Argument... arguments) {
    return Kernel.of(
        method + "_partials",
        Grid.of(blocks(tokens, TOKENS_OF_BLOCK), blocks(experts, EXPERTS_OF_BLOCK)),
        EXPERTS_OF_BLOCK,
        0,
        arguments);
  }

  Kernel sums(String method, Argument... arguments) {
    return Kernel.of(
        method + "_sums",
        Grid.of(blocks(experts, EXPERTS_OF_BLOCK)),
        EXPERTS_OF_BLOCK,
        0,
        arguments);
  }

  Kernel slopes(Argument... arguments) {
    return Kernel.of("backward_slopes", Grid.of(1), THREADS, Double.BYTES * THREADS, arguments);
  }

  Kernel rows(Argument... arguments) {
    return Kernel.of("backward_rows", Grid.of(blocks(tokens, WARPS)), THREADS, 0, arguments);
  }

  Kernel input(int products, Argument... arguments) {
    Grid grid = TILE.grid(tokens, width, 1);
    return Kernel.of("backward_input", grid, TILE, TILE.sharedBytes(), arguments)
        .costing(
            2L * products * tokens * width * experts,
            8L * tokens * width + 4L * products * experts * ((long) tokens + width));
  }

  Kernel weight(int products, Argument... arguments) {
    Grid grid = TILE.grid(experts, width, products);
    return Kernel.of("backward_weight", grid, TILE, TILE.sharedBytes(), arguments)
        .costing(
            2L * products * tokens * width * experts,
            4L * tokens * width + 4L * products * experts * ((long) tokens + width));
  }

  /** Sums of importance and load of each block of tokens, in double. */
  Argument partialSums() {
    return scratch("partials", 2L * Double.BYTES * blocks(tokens, TOKENS_OF_BLOCK) * experts);
  }

  /** The last chosen logit of each token and the next in line. */
  Argument thresholds() {
    return scratch("thresholds", 2L * Float.BYTES * tokens);
  }

  /** Slopes of both losses. */
  Argument lossSlopes() {
    return scratch("slopes", 2L * Float.BYTES * experts);
  }
}
