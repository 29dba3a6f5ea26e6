package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.options;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.Gating;
import dev.topknot.processor.model.MoE;
import java.util.List;

/** The gates without noise: softmax over the top k, or the top k of the softmax. */
record TopKGateOp(String layer, int tokens, int width, MoE moe, Tile tile) implements Op {
  /**
   * Experts for each chosen one from which sums over the chosen take the CPU no longer than
   * products with all: 16 to 64 by the width.
   */
  private static final int SPARSE = 32;

  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("experts", moe.experts()),
        new Constant("k", moe.k()),
        new Constant("gating", moe.gating()),
        new Constant("importanceLoss", moe.importanceLoss()),
        new Constant("loadLoss", moe.loadLoss()),
        new Constant("sparse", sparse()));
  }

  /** Whether the CPU takes the gradients of the logits as what they are: 0 but for the chosen. */
  private boolean sparse() {
    boolean amongAll = moe.gating() == Gating.SOFTMAX_TOP_K && moe.k() == 1;
    return !amongAll && moe.experts() >= (long) SPARSE * moe.k();
  }

  @Override
  public List<Constant> traits() {
    List<Constant> kernels =
        Op.super.traits().stream().filter(it -> !it.name().equals("sparse")).toList();
    return GateKernels.traits(kernels, tile);
  }

  @Override
  public List<Product> products(String method) {
    return method.equals("backward") && sparse()
        ? List.of()
        : Product.of(method, tokens, 1, width, moe.experts());
  }

  @Override
  public List<Kernel> kernels(String method) {
    GateKernels gate = new GateKernels(tokens, width, moe, tile);
    return switch (method) {
      case "forward", "infer" ->
          Kernel.all(
              gate.plain(method),
              List.of(gate.sums(method, run(), gate.partialSums(), operand(5), operand(6))));
      case "backward" ->
          Kernel.all(
              List.of(
                  gate.slopes(options(), operand(5), operand(6), gate.lossSlopes()),
                  gate.rows(
                      run(),
                      operand(2),
                      operand(3),
                      operand(4),
                      operand(7),
                      gate.lossSlopes(),
                      operand(8)),
                  gate.input(1, run(), operand(8), operand(1), operand(9))),
              gate.weights(operand(0), List.of(operand(8)), List.of(operand(10))));
      default -> throw new IllegalArgumentException(method);
    };
  }

  @Override
  public String source() {
    return "gate";
  }

  /** {@code method} is {@code forward} in training and {@code infer} elsewhere. */
  Call forward(String method, Buffer x, Buffer gateWeights, Buffer clean, GateBuffers out) {
    return Call.of(
            this,
            method,
            read(x),
            read(gateWeights),
            write(clean),
            write(out.chosen()),
            write(out.gates()),
            write(out.importance()),
            write(out.load()))
        .resultIn(out.gates());
  }

  Call backward(
      Buffer x,
      Buffer gateWeights,
      Buffer clean,
      GateBuffers out,
      Buffer dGates,
      Buffer dClean,
      Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(gateWeights),
        read(clean),
        read(out.chosen()),
        read(out.gates()),
        read(out.importance()),
        read(out.load()),
        read(dGates),
        write(dClean),
        update(dx),
        write(gateWeights.gradient()));
  }
}
