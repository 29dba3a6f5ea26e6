package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.options;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.processor.model.MoE;
import java.util.List;

/** The noisy top-k gate of [S17] eq. 3-5 with its balancing losses (eq. 6-11). */
record NoisyTopKGateOp(String layer, int tokens, int width, MoE moe, int streamLayer, Tile tile)
    implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("experts", moe.experts()),
        new Constant("k", moe.k()),
        new Constant("noiseFloor", moe.noiseFloor()),
        new Constant("importanceLoss", moe.importanceLoss()),
        new Constant("loadLoss", moe.loadLoss()),
        new Constant("streamLayer", streamLayer));
  }

  @Override
  public List<Constant> traits() {
    return GateKernels.traits(Op.super.traits(), tile);
  }

  @Override
  public List<Product> products(String method) {
    List<Product> gate = Product.of(method, tokens, 1, width, moe.experts());
    return method.equals("infer") ? gate : Product.all(gate, gate);
  }

  @Override
  public List<Kernel> kernels(String method) {
    GateKernels gate = new GateKernels(tokens, width, moe, tile);
    return switch (method) {
      case "forward" ->
          Kernel.all(
              gate.noisy(method),
              List.of(gate.sums(method, run(), gate.partialSums(), operand(8), operand(9))));
      case "infer" ->
          Kernel.all(
              gate.plain(method),
              List.of(gate.sums(method, run(), gate.partialSums(), operand(5), operand(6))));
      case "backward" ->
          Kernel.all(
              List.of(
                  gate.slopes(options(), operand(8), operand(9), gate.lossSlopes()),
                  gate.rows(
                      run(),
                      options(),
                      operand(3),
                      operand(4),
                      operand(5),
                      operand(6),
                      operand(7),
                      operand(10),
                      gate.lossSlopes(),
                      operand(11),
                      operand(12)),
                  gate.input(
                      2,
                      run(),
                      options(),
                      operand(11),
                      operand(1),
                      operand(12),
                      operand(2),
                      operand(13))),
              gate.weights(
                  operand(0),
                  List.of(operand(11), operand(12)),
                  List.of(operand(14), operand(15))));
      default -> throw new IllegalArgumentException(method);
    };
  }

  @Override
  public String source() {
    return "gate";
  }

  Call forward(Buffer x, Weights weights, Kept kept, GateBuffers out) {
    return Call.of(
            this,
            "forward",
            read(x),
            read(weights.gate),
            read(weights.noise),
            write(kept.clean),
            write(kept.raw),
            write(kept.noisy),
            write(out.chosen()),
            write(out.gates()),
            write(out.importance()),
            write(out.load()))
        .resultIn(out.gates());
  }

  Call backward(
      Buffer x,
      Weights weights,
      Kept kept,
      GateBuffers out,
      Buffer dGates,
      Buffer dClean,
      Buffer dRaw,
      Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(weights.gate),
        read(weights.noise),
        read(kept.clean),
        read(kept.raw),
        read(kept.noisy),
        read(out.chosen()),
        read(out.gates()),
        read(out.importance()),
        read(out.load()),
        read(dGates),
        write(dClean),
        write(dRaw),
        update(dx),
        write(weights.gate.gradient()),
        write(weights.noise.gradient()));
  }

  Call infer(Buffer x, Buffer gateWeights, Buffer clean, GateBuffers out) {
    return Call.of(
            this,
            "infer",
            read(x),
            read(gateWeights),
            write(clean),
            write(out.chosen()),
            write(out.gates()),
            write(out.importance()),
            write(out.load()))
        .resultIn(out.gates());
  }

  /** W_g and W_noise, [n, d] each. */
  record Weights(Buffer gate, Buffer noise) {}

  /** x·W_g, x·W_noise and H, [T, n] each. */
  record Kept(Buffer clean, Buffer raw, Buffer noisy) {}
}
