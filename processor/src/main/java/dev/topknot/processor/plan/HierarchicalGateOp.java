package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.options;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.processor.model.MoE;
import java.util.List;

/**
 * Both levels of a hierarchy together ([S17] app. B): the gate values and the balance of all
 * experts, with its losses.
 */
record HierarchicalGateOp(String layer, int tokens, MoE moe) implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("experts", moe.experts()),
        new Constant("k", moe.k()),
        new Constant("groups", moe.hierarchy().orElseThrow().groups()),
        new Constant("primaryK", moe.hierarchy().orElseThrow().k()),
        new Constant("importanceLoss", moe.importanceLoss()),
        new Constant("loadLoss", moe.loadLoss()));
  }

  @Override
  public List<Kernel> kernels(String method) {
    GroupKernels group = new GroupKernels(tokens, 1, moe); // none of its launches has a width
    return switch (method) {
      case "forward" ->
          List.of(
              group.pairs(
                  "forward_gates",
                  operand(0),
                  operand(1),
                  operand(4),
                  operand(5),
                  operand(6),
                  operand(8),
                  operand(9),
                  group.rowGates()),
              group.partials(method, operand(3), operand(5), group.rowGates(), group.partialSums()),
              group.sums(
                  method,
                  operand(3),
                  group.partialSums(),
                  operand(2),
                  operand(7),
                  operand(10),
                  operand(11)));
      case "backward" ->
          List.of(
              group.slopes(options(), operand(8), operand(9), group.lossSlopes()),
              group.pairs(
                  "backward_gates",
                  operand(0),
                  operand(1),
                  operand(4),
                  operand(5),
                  operand(6),
                  operand(10),
                  group.lossSlopes(),
                  operand(11),
                  operand(13)),
              group.loads(
                  operand(3),
                  group.lossSlopes(),
                  operand(2),
                  operand(7),
                  operand(12),
                  operand(14)));
      default -> throw new IllegalArgumentException(method);
    };
  }

  @Override
  public String source() {
    return "hierarchy";
  }

  Call forward(
      Routing groups,
      PrimaryGateOp.Chosen primary,
      PrimaryGateOp.Chosen secondary,
      GateBuffers out) {
    return Call.of(
            this,
            "forward",
            read(primary.chosen()),
            read(primary.gates()),
            read(primary.load()),
            read(groups.offsets()),
            read(groups.slots()),
            read(secondary.chosen()),
            read(secondary.gates()),
            read(secondary.load()),
            write(out.chosen()),
            write(out.gates()),
            write(out.importance()),
            write(out.load()))
        .resultIn(out.gates());
  }

  Call backward(
      Routing groups,
      PrimaryGateOp.Chosen primary,
      PrimaryGateOp.Chosen secondary,
      GateBuffers out,
      Buffer dGates,
      PrimaryGateOp.Gradients ofPrimary,
      PrimaryGateOp.Gradients ofSecondary) {
    return Call.of(
        this,
        "backward",
        read(primary.chosen()),
        read(primary.gates()),
        read(primary.load()),
        read(groups.offsets()),
        read(groups.slots()),
        read(secondary.chosen()),
        read(secondary.gates()),
        read(secondary.load()),
        read(out.importance()),
        read(out.load()),
        read(dGates),
        write(ofPrimary.gates()),
        write(ofPrimary.load()),
        write(ofSecondary.gates()),
        write(ofSecondary.load()));
  }
}
