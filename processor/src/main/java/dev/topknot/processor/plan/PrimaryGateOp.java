package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.options;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.processor.model.MoE;
import java.util.ArrayList;
import java.util.List;

/** The gate over the groups of a hierarchy ([S17] app. B), and the tokens sorted by group. */
record PrimaryGateOp(String layer, int tokens, int width, MoE moe, int streamLayer) implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("groups", groups()),
        new Constant("primaryK", k()),
        new Constant("noiseFloor", moe.noiseFloor()),
        new Constant("importanceLoss", moe.importanceLoss()),
        new Constant("loadLoss", moe.loadLoss()),
        new Constant("streamLayer", streamLayer));
  }

  private int groups() {
    return moe.hierarchy().orElseThrow().groups();
  }

  private int k() {
    return moe.hierarchy().orElseThrow().k();
  }

  @Override
  public List<Product> products(String method) {
    List<Product> gate = Product.of(method, tokens, 1, width, groups());
    return method.equals("infer") ? gate : Product.all(gate, gate);
  }

  @Override
  public List<Kernel> kernels(String method) {
    GateKernels gate = new GateKernels(tokens, width, groups(), k(), Tile.FP32);
    return switch (method) {
      case "forward" -> choose(gate, method, 9, gate.noisy(method));
      case "infer" -> choose(gate, method, 6, gate.plain(method));
      case "backward" ->
          Kernel.all(
              List.of(
                  gate.rows(
                      run(),
                      options(),
                      operand(3),
                      operand(4),
                      operand(5),
                      operand(6),
                      operand(7),
                      operand(8),
                      operand(9),
                      operand(10),
                      operand(11)),
                  gate.input(
                      2,
                      run(),
                      options(),
                      operand(10),
                      operand(1),
                      operand(11),
                      operand(2),
                      operand(12))),
              gate.weights(
                  operand(0),
                  List.of(operand(10), operand(11)),
                  List.of(operand(13), operand(14))));
      default -> throw new IllegalArgumentException(method);
    };
  }

  /** These kernels, the sums, and those that sort; {@code offsets} is the operand's number. */
  private List<Kernel> choose(GateKernels gate, String method, int offsets, List<Kernel> choice) {
    List<Kernel> kernels = new ArrayList<>(choice);
    // nobody reads the importance of groups
    Argument importance = scratch("groupImportance", (long) Float.BYTES * groups());
    kernels.add(gate.sums(method, run(), gate.partialSums(), importance, operand(offsets - 1)));
    kernels.addAll(
        DispatchOp.kernels(
            method,
            (long) tokens * k(),
            groups(),
            operand(offsets - 3),
            operand(offsets),
            operand(offsets + 1),
            operand(offsets + 2)));
    return kernels;
  }

  @Override
  public String source() {
    return "hierarchy";
  }

  Call forward(
      Buffer x,
      NoisyTopKGateOp.Weights weights,
      NoisyTopKGateOp.Kept kept,
      Chosen out,
      Routing groups) {
    return Call.of(
            this,
            "forward",
            read(x),
            read(weights.gate()),
            read(weights.noise()),
            write(kept.clean()),
            write(kept.raw()),
            write(kept.noisy()),
            write(out.chosen()),
            write(out.gates()),
            write(out.load()),
            write(groups.offsets()),
            write(groups.rows()),
            write(groups.slots()))
        .resultIn(out.gates());
  }

  Call infer(Buffer x, Buffer gateWeights, Buffer clean, Chosen out, Routing groups) {
    return Call.of(
            this,
            "infer",
            read(x),
            read(gateWeights),
            write(clean),
            write(out.chosen()),
            write(out.gates()),
            write(out.load()),
            write(groups.offsets()),
            write(groups.rows()),
            write(groups.slots()))
        .resultIn(out.gates());
  }

  Call backward(
      Buffer x,
      NoisyTopKGateOp.Weights weights,
      NoisyTopKGateOp.Kept kept,
      Chosen out,
      Gradients gradients,
      Buffer dClean,
      Buffer dRaw,
      Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(weights.gate()),
        read(weights.noise()),
        read(kept.clean()),
        read(kept.raw()),
        read(kept.noisy()),
        read(out.chosen()),
        read(out.gates()),
        read(gradients.gates()),
        read(gradients.load()),
        write(dClean),
        write(dRaw),
        update(dx),
        write(weights.gate().gradient()),
        write(weights.noise().gradient()));
  }

  /**
   * What a level chose.
   *
   * @param chosen groups of each token [T·k]; or experts of each row, numbered within its group
   * @param gates their gate values
   * @param load of the groups [1, b]; or of the experts [1, n], over the tokens of their group
   */
  record Chosen(Buffer chosen, Buffer gates, Buffer load) {}

  /** The gradients of a level's gate values and loads. */
  record Gradients(Buffer gates, Buffer load) {}
}
