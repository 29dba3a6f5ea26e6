package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.constant;
import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.options;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Grid.blocks;

import dev.topknot.processor.model.MoE;
import java.util.List;
import java.util.stream.Stream;

/** Shapes of the launches that both gates share; the numbers are those of gate.cuh. */
record GateKernels(int tokens, int width, int experts, int k, Tile tile) {
  /** Threads of a block that has an expert a thread. */
  private static final int EXPERTS_OF_BLOCK = 128;

  private static final int TOKENS_OF_BLOCK = 64;

  /** Blocks that fill a large device more than once. */
  private static final int ENOUGH_BLOCKS = 1024;

  /** Tokens that a block should sum at least. */
  private static final int LEAST_OF_SHARE = 512;

  private static final int WARP = 32;
  private static final int WARPS = 8;
  private static final int THREADS = WARPS * WARP;

  GateKernels(int tokens, int width, MoE moe, Tile tile) {
    this(tokens, width, moe.experts(), moe.k(), tile);
  }

  /** Constants of a gate's kernels, and the tile of its products. */
  static List<Constant> traits(List<Constant> constants, Tile tile) {
    return Stream.concat(constants.stream(), Stream.of(new Constant("gateTile", tile))).toList();
  }

  /** Tokens of a block, one a warp, where a token needs shared memory for each choice. */
  static int warps(int k) {
    return k < 256 ? WARPS : 1;
  }

  /**
   * Choosing with noise: operands x, both weights, clean, raw, noisy, chosen, gates; then the sums.
   */
  List<Kernel> noisy(String method) {
    return List.of(
        logits(
            method,
            2,
            run(),
            options(),
            operand(0),
            operand(1),
            operand(2),
            operand(3),
            operand(4)),
        select(
            method,
            run(),
            options(),
            operand(3),
            operand(4),
            operand(5),
            operand(6),
            operand(7),
            thresholds()),
        partials(
            method,
            run(),
            options(),
            operand(3),
            operand(4),
            operand(6),
            operand(7),
            thresholds(),
            partialSums()));
  }

  /** Choosing without: operands x, weights, clean, chosen, gates. */
  List<Kernel> plain(String method) {
    return List.of(
        logits(method, 1, run(), operand(0), operand(1), operand(2)),
        select(method, run(), operand(2), operand(3), operand(4)),
        partials(method, run(), operand(3), operand(4), partialSums()));
  }

  /** Logits of so many pairs of operands. */
  Kernel logits(String method, int products, Argument... arguments) {
    Grid grid = tile.grid(tokens, experts, products);
    return Kernel.of(method + "_logits", grid, tile, tile.sharedBytes(), arguments)
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
    Grid grid = tile.grid(tokens, width, 1);
    return Kernel.of("backward_input", grid, tile, tile.sharedBytes(), arguments)
        .costing(
            2L * products * tokens * width * experts,
            8L * tokens * width + 4L * products * experts * ((long) tokens + width));
  }

  /**
   * The gradients of weights [experts, width], from x and the gradients of their logits. With few
   * tiles a sum over all tokens would leave most of a device idle, so shares of the tokens are
   * summed apart.
   */
  List<Kernel> weights(Argument x, List<Argument> gradients, List<Argument> weights) {
    int products = weights.size();
    long elements = (long) experts * width;
    long tiles = tile.grid(experts, width, products).blocks();
    long count = Math.max(1, Math.min(blocks(ENOUGH_BLOCKS, tiles), tokens / LEAST_OF_SHARE));
    Argument shares =
        count == 1 ? constant(0) : scratch("shares", count * products * elements * Float.BYTES);
    Argument[] ofProduct =
        Stream.of(List.of(run(), x), gradients, List.of(constant(count), shares), weights)
            .flatMap(List::stream)
            .toArray(Argument[]::new);
    Kernel product =
        Kernel.of(
                "backward_weight",
                tile.grid(experts, width, products * count),
                tile,
                tile.sharedBytes(),
                ofProduct)
            .costing(
                2L * products * tokens * elements,
                4L * tokens * width + 4L * products * (experts * (long) tokens + elements));
    if (count == 1) {
      return List.of(product);
    }
    Argument[] ofSum =
        Stream.of(List.of(run(), constant(count), shares), weights)
            .flatMap(List::stream)
            .toArray(Argument[]::new);
    Kernel sum =
        Kernel.of("backward_shares", Grid.of(blocks(elements, 256), products), 256, 0, ofSum)
            .costing(0, (count + 1) * products * elements * Float.BYTES);
    return List.of(product, sum);
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
