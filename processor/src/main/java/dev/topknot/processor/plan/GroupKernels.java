package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Grid.blocks;

import dev.topknot.processor.model.MoE;

/**
 * Shapes of the launches of a hierarchy's lower level, over rows that are pairs of a token and a
 * group, sorted by group; the numbers are those of hierarchy.cuh.
 */
record GroupKernels(int tokens, int width, MoE moe) {
  private static final Tile TILE = Tile.FP32;

  /** Threads of a block that has an expert a thread. */
  private static final int EXPERTS_OF_BLOCK = 128;

  private static final int THREADS = 256;
  private static final int WARP = 32;

  private MoE.Hierarchy hierarchy() {
    return moe.hierarchy().orElseThrow();
  }

  private int groups() {
    return hierarchy().groups();
  }

  /** The number of rows, P. */
  private int pairs() {
    return Math.multiplyExact(tokens, hierarchy().k());
  }

  /** The launches that have a row where those of one gate have a token. */
  private GateKernels gate() {
    return new GateKernels(pairs(), width, moe.groupSize(), moe.groupK(), Tile.FP32);
  }

  /** Blocks enough for tiles of rows of one group each. */
  private long tiles() {
    return new Products(TILE).grouped(ExpertRange.of(tokens, hierarchy().k(), groups())).tiles();
  }

  /** Logits of so many pairs of operands. */
  Kernel logits(String method, int products, Argument... arguments) {
    Grid grid = Grid.of(tiles(), blocks(moe.groupSize(), TILE.columns()), products);
    return Kernel.of(method + "_logits", grid, TILE, TILE.sharedBytes(), arguments)
        .costing(flops(products), bytes(products));
  }

  Kernel select(String method, Argument... arguments) {
    return gate().select(method, arguments);
  }

  Kernel partials(String method, Argument... arguments) {
    Grid grid = Grid.of(tiles(), blocks(moe.groupSize(), EXPERTS_OF_BLOCK));
    return Kernel.of(method + "_partials", grid, EXPERTS_OF_BLOCK, 0, arguments);
  }

  Kernel sums(String method, Argument... arguments) {
    Grid grid = Grid.of(blocks(moe.experts(), EXPERTS_OF_BLOCK));
    return Kernel.of(method + "_sums", grid, EXPERTS_OF_BLOCK, 0, arguments);
  }

  /** Something for each pair; the run comes before the arguments. */
  Kernel pairs(String name, Argument... arguments) {
    return Products.each(name, pairs(), arguments);
  }

  Kernel slopes(Argument... arguments) {
    return gate().slopes(arguments);
  }

  /** A group a warp. */
  Kernel loads(Argument... arguments) {
    return Kernel.of(
        "backward_loads", Grid.of(blocks(groups(), THREADS / WARP)), THREADS, 0, arguments);
  }

  Kernel rows(Argument... arguments) {
    return gate().rows(arguments);
  }

  Kernel input(Argument... arguments) {
    Grid grid = Grid.of(tiles(), blocks(width, TILE.columns()));
    return Kernel.of("backward_input", grid, TILE, TILE.sharedBytes(), arguments)
        .costing(flops(2), bytes(2));
  }

  /** Adds up the rows of each token. */
  Kernel tokenSums(Argument... arguments) {
    return CombineOp.rows("backward_tokens", tokens, hierarchy().k(), arguments);
  }

  Kernel weight(Argument... arguments) {
    Grid grid = TILE.grid(moe.groupSize(), width, 2L * groups());
    return Kernel.of("backward_weight", grid, TILE, TILE.sharedBytes(), arguments)
        .costing(flops(2), bytes(2));
  }

  private long flops(int products) {
    return 2L * products * pairs() * width * moe.groupSize();
  }

  /** The rows' vectors, and of each product the logits and the weights in use. */
  private long bytes(int products) {
    long weights = (long) Math.min(groups(), pairs()) * moe.groupSize() * width;
    return Float.BYTES
        * ((long) pairs() * width + products * ((long) pairs() * moe.groupSize() + weights));
  }

  /** The last chosen logit of each row and the next in line. */
  Argument thresholds() {
    return gate().thresholds();
  }

  /** Sums of importance and load of each tile of rows, in double. */
  Argument partialSums() {
    long parts = (long) groups() + pairs() / TILE.rows();
    return scratch("partials", 2L * Double.BYTES * parts * moe.groupSize());
  }

  /** The gate values of both levels multiplied, in the order of the rows. */
  Argument rowGates() {
    return scratch("rowGates", (long) Float.BYTES * tokens * moe.k());
  }

  /** Slopes of both losses, of all experts. */
  Argument lossSlopes() {
    return scratch("slopes", 2L * Float.BYTES * moe.experts());
  }
}
