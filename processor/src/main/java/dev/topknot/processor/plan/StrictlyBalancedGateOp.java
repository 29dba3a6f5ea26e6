package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Grid.blocks;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.processor.model.MoE;
import java.util.List;

/**
 * Strictly balanced gating ([S17] app. F): experts choose tokens in training, thresholds choose
 * elsewhere. Every token has a place for each expert, in ascending order.
 */
record StrictlyBalancedGateOp(String layer, int tokens, int width, MoE moe, Tile tile)
    implements Op {
  // of strictly_balanced_gate.cuh: a warp a token, a block an expert, an expert a thread
  private static final int WARPS = 8;
  private static final int THREADS = 256;
  private static final int EXPERTS_OF_BLOCK = 128;
  private static final int TOKENS_OF_BLOCK = 64;

  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("experts", moe.experts()),
        new Constant("k", moe.k()),
        new Constant("thresholdLoss", (float) moe.thresholds().loss()));
  }

  @Override
  public List<Constant> traits() {
    return GateKernels.traits(Op.super.traits(), tile);
  }

  @Override
  public List<Product> products(String method) {
    return Product.of(method, tokens, 1, width, moe.experts());
  }

  @Override
  public List<Kernel> kernels(String method) {
    GateKernels gate = new GateKernels(tokens, width, moe, tile);
    if (method.equals("backward")) {
      return Kernel.all(
          List.of(
              rows(
                  "backward_rows",
                  operand(2),
                  operand(3),
                  operand(4),
                  operand(5),
                  operand(8),
                  operand(9)),
              experts("backward_thresholds", operand(6), operand(7), operand(12)),
              gate.input(1, run(), operand(9), operand(1), operand(10))),
          gate.weights(operand(0), List.of(operand(9)), List.of(operand(11))));
    }
    boolean training = method.equals("forward");
    Argument limits = scratch("limits", (long) Long.BYTES * moe.experts());
    Argument partials =
        scratch("partials", 3L * Double.BYTES * blocks(tokens, TOKENS_OF_BLOCK) * moe.experts());
    Kernel logits = gate.logits(method, 1, run(), operand(0), operand(1), operand(3));
    Kernel normalise = rows(method + "_normalise", operand(3), operand(9));
    Kernel select =
        rows(
            method + "_select",
            operand(3),
            training ? limits : operand(2),
            operand(4),
            operand(5),
            operand(9));
    Kernel sumsOfBlocks =
        gate.partials(method, run(), operand(2), operand(3), operand(4), operand(5), partials);
    Kernel sums = experts(method + "_sums", partials, operand(6), operand(7), operand(8));
    return training
        ? List.of(
            logits,
            normalise,
            Kernel.of(
                "forward_limits",
                Grid.of(moe.experts()),
                THREADS,
                2 * Integer.BYTES * THREADS,
                run(),
                operand(3),
                limits),
            select,
            sumsOfBlocks,
            sums)
        : List.of(logits, normalise, select, sumsOfBlocks, sums);
  }

  private Kernel rows(String name, Argument... arguments) {
    return Kernel.of(
        name, Grid.of(blocks(tokens, WARPS)), 32 * WARPS, 0, Products.withRun(arguments));
  }

  private Kernel experts(String name, Argument... arguments) {
    return Kernel.of(
        name,
        Grid.of(blocks(moe.experts(), EXPERTS_OF_BLOCK)),
        EXPERTS_OF_BLOCK,
        0,
        Products.withRun(arguments));
  }

  /** {@code method} is {@code forward} in training and {@code infer} elsewhere. */
  Call forward(String method, Buffer x, Weights weights, Kept kept, GateBuffers out) {
    return Call.of(
            this,
            method,
            read(x),
            read(weights.gate),
            read(weights.thresholds),
            write(kept.logits),
            write(out.chosen()),
            write(out.gates()),
            write(out.importance()),
            write(out.load()),
            write(kept.above),
            write(kept.dropped))
        .resultIn(out.gates());
  }

  Call backward(
      Buffer x,
      Weights weights,
      Kept kept,
      GateBuffers out,
      Buffer dGates,
      Buffer dLogits,
      Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(weights.gate),
        read(weights.thresholds),
        read(kept.logits),
        read(out.chosen()),
        read(out.gates()),
        read(out.load()),
        read(kept.above),
        read(dGates),
        write(dLogits),
        update(dx),
        write(weights.gate.gradient()),
        write(weights.thresholds.gradient()));
  }

  /** W_g [n, d] and the thresholds [1, n]. */
  record Weights(Buffer gate, Buffer thresholds) {}

  /**
   * What only this gate leaves.
   *
   * @param logits log G_σ [T, n]
   * @param above how many tokens exceed each threshold [1, n]
   * @param dropped how many tokens no expert was chosen for [1]
   */
  record Kept(Buffer logits, Buffer above, Buffer dropped) {}
}
