package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.options;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.processor.model.MoE;
import java.util.List;

/** The gates of the groups of a hierarchy ([S17] app. B), each on the rows of its tokens. */
record SecondaryGateOp(String layer, int tokens, int width, MoE moe, int streamLayer)
    implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("experts", moe.experts()),
        new Constant("k", moe.k()),
        new Constant("groups", hierarchy().groups()),
        new Constant("primaryK", hierarchy().k()),
        new Constant("noiseFloor", moe.noiseFloor()),
        new Constant("loadLoss", moe.loadLoss()),
        new Constant("streamLayer", streamLayer));
  }

  private MoE.Hierarchy hierarchy() {
    return moe.hierarchy().orElseThrow();
  }

  /** The groups as experts whose slots are pairs of a token and a group. */
  private ExpertRange groups() {
    return ExpertRange.of(tokens, hierarchy().k(), hierarchy().groups());
  }

  @Override
  public List<Product> products(String method) {
    int size = moe.groupSize();
    List<Product> gate = groups().products(method, width, size);
    return method.equals("infer") ? gate : Product.all(gate, gate);
  }

  @Override
  public double touched() {
    return groups().touched();
  }

  @Override
  public List<Kernel> kernels(String method) {
    GroupKernels group = new GroupKernels(tokens, width, moe);
    return switch (method) {
      case "forward" ->
          List.of(
              group.logits(
                  method,
                  2,
                  options(),
                  operand(1),
                  operand(2),
                  operand(0),
                  operand(3),
                  operand(4),
                  operand(5),
                  operand(6)),
              group.select(
                  method,
                  run(),
                  options(),
                  operand(1),
                  operand(2),
                  operand(5),
                  operand(6),
                  operand(7),
                  operand(8),
                  operand(9),
                  group.thresholds()),
              group.partials(
                  method,
                  options(),
                  operand(1),
                  operand(5),
                  operand(6),
                  operand(8),
                  operand(9),
                  group.thresholds(),
                  group.partialSums()),
              group.sums(method, operand(1), group.partialSums(), operand(10)));
      case "infer" ->
          List.of(
              group.logits(method, 1, operand(1), operand(2), operand(0), operand(3), operand(4)),
              group.select(method, run(), operand(4), operand(5), operand(6)),
              group.partials(method, operand(1), operand(5), operand(6), group.partialSums()),
              group.sums(method, operand(1), group.partialSums(), operand(7)));
      case "backward" ->
          List.of(
              group.rows(
                  run(),
                  options(),
                  operand(1),
                  operand(2),
                  operand(6),
                  operand(7),
                  operand(8),
                  operand(9),
                  operand(10),
                  operand(11),
                  operand(12),
                  operand(13),
                  operand(14)),
              group.input(
                  options(),
                  operand(1),
                  operand(13),
                  operand(4),
                  operand(14),
                  operand(5),
                  operand(16)),
              group.tokenSums(run(), operand(16), operand(3), operand(17)),
              group.weight(
                  run(),
                  operand(1),
                  operand(2),
                  operand(0),
                  operand(13),
                  operand(14),
                  operand(18),
                  operand(19)));
      default -> throw new IllegalArgumentException(method);
    };
  }

  @Override
  public String source() {
    return "hierarchy";
  }

  Call forward(
      Buffer x,
      Routing groups,
      NoisyTopKGateOp.Weights weights,
      NoisyTopKGateOp.Kept kept,
      PrimaryGateOp.Chosen out) {
    return Call.of(
            this,
            "forward",
            read(x),
            read(groups.offsets()),
            read(groups.rows()),
            read(weights.gate()),
            read(weights.noise()),
            write(kept.clean()),
            write(kept.raw()),
            write(kept.noisy()),
            write(out.chosen()),
            write(out.gates()),
            write(out.load()))
        .resultIn(out.gates());
  }

  Call infer(Buffer x, Routing groups, Buffer gateWeights, Buffer clean, PrimaryGateOp.Chosen out) {
    return Call.of(
            this,
            "infer",
            read(x),
            read(groups.offsets()),
            read(groups.rows()),
            read(gateWeights),
            write(clean),
            write(out.chosen()),
            write(out.gates()),
            write(out.load()))
        .resultIn(out.gates());
  }

  Call backward(
      Buffer x,
      Routing groups,
      NoisyTopKGateOp.Weights weights,
      NoisyTopKGateOp.Kept kept,
      PrimaryGateOp.Chosen out,
      PrimaryGateOp.Gradients gradients,
      Scratch scratch,
      Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(groups.offsets()),
        read(groups.rows()),
        read(groups.slots()),
        read(weights.gate()),
        read(weights.noise()),
        read(kept.clean()),
        read(kept.raw()),
        read(kept.noisy()),
        read(out.chosen()),
        read(out.gates()),
        read(gradients.gates()),
        read(gradients.load()),
        write(scratch.dClean),
        write(scratch.dRaw),
        write(scratch.gathered),
        write(scratch.dRows),
        update(dx),
        write(weights.gate().gradient()),
        write(weights.noise().gradient()));
  }

  /** Gradients of the logits [P, m], and rows of x and dx [P, d]. */
  record Scratch(Buffer dClean, Buffer dRaw, Buffer gathered, Buffer dRows) {}
}
