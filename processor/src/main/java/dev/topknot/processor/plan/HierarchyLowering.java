package dev.topknot.processor.plan;

import dev.topknot.processor.model.MoE;

/**
 * Lowers the gates of a hierarchy ([S17] app. B): primary gate, secondary gates, and both together.
 * Their rows, P of them, are pairs of a token and a group, sorted by group.
 */
final class HierarchyLowering {
  private final Parameters parameters;
  private final String name;
  private final int tokens;
  private final int width;
  private final int number;
  private final int groups;
  private final int primaryK;
  private final int secondaryK;
  private final int size;
  private final int pairs;
  private final LayerBuilder b;
  private final PrimaryGateOp primaryGate;
  private final SecondaryGateOp secondaryGate;
  private final PrimaryGateOp.Chosen primary;
  private final PrimaryGateOp.Chosen secondary;
  private final Routing routing;
  private final Buffer primaryClean;
  private final Buffer secondaryClean;
  private final Buffer primaryWeights;
  private final Buffer secondaryWeights;

  /** Prepares the lowering as {@link MoELowering} does; makes the buffers of every program. */
  HierarchyLowering(
      Parameters parameters,
      String name,
      int tokens,
      int width,
      int number,
      MoE moe,
      LayerBuilder b) {
    this.parameters = parameters;
    this.name = name;
    this.tokens = tokens;
    this.width = width;
    this.number = number;
    this.b = b;
    groups = moe.hierarchy().orElseThrow().groups();
    primaryK = moe.hierarchy().orElseThrow().k();
    secondaryK = moe.groupK();
    size = moe.groupSize();
    pairs = Math.multiplyExact(tokens, primaryK);
    primaryGate = new PrimaryGateOp(name, tokens, width, moe, number);
    secondaryGate = new SecondaryGateOp(name, tokens, width, moe, number);
    primary =
        new PrimaryGateOp.Chosen(
            b.integers("primaryChosen", pairs),
            b.work("primaryGates", tokens, primaryK),
            b.work("primaryLoad", 1, groups));
    routing =
        new Routing(
            b.integers("groupOffsets", groups + 1L),
            b.integers("groupRows", pairs),
            b.integers("groupSlots", pairs));
    secondary =
        new PrimaryGateOp.Chosen(
            b.integers("secondaryChosen", (long) pairs * secondaryK),
            b.work("secondaryGates", pairs, secondaryK),
            b.work("secondaryLoad", 1, moe.experts()));
    primaryClean = b.work("primaryClean", tokens, groups);
    secondaryClean = b.work("secondaryClean", pairs, size);
    primaryWeights = parameter("primaryWeights", "gate.weight", 1, groups);
    secondaryWeights = parameter("secondaryWeights", "groups.*.gate.weight", groups, size);
  }

  private Buffer parameter(String local, String file, int copies, long rows) {
    return b.parameter(
        local, parameters.slot(name, file, copies, rows, width, Parameter.Init.ZERO, number));
  }

  /** Emits the gates without noise, whose weights training has laid out before. */
  void infer(HierarchicalGateOp gate, Buffer x, GateBuffers out) {
    b.forward(primaryGate.infer(x, primaryWeights, primaryClean, primary, routing));
    b.forward(secondaryGate.infer(x, routing, secondaryWeights, secondaryClean, secondary));
    b.forward(gate.forward(routing, primary, secondary, out));
  }

  /** Emits the gates' forward pass; the result emits their backward pass. */
  Runnable train(HierarchicalGateOp gate, MoELowering.Ends ends, GateBuffers out, Buffer dGates) {
    NoisyTopKGateOp.Weights ofPrimary =
        new NoisyTopKGateOp.Weights(
            primaryWeights, parameter("primaryNoiseWeights", "noise.weight", 1, groups));
    NoisyTopKGateOp.Weights ofSecondary =
        new NoisyTopKGateOp.Weights(
            secondaryWeights,
            parameter("secondaryNoiseWeights", "groups.*.noise.weight", groups, size));
    NoisyTopKGateOp.Kept primaryKept =
        new NoisyTopKGateOp.Kept(
            primaryClean,
            b.work("primaryRaw", tokens, groups),
            b.work("primaryNoisy", tokens, groups));
    NoisyTopKGateOp.Kept secondaryKept =
        new NoisyTopKGateOp.Kept(
            secondaryClean,
            b.work("secondaryRaw", pairs, size),
            b.work("secondaryNoisy", pairs, size));
    b.forward(primaryGate.forward(ends.x(), ofPrimary, primaryKept, primary, routing));
    b.forward(secondaryGate.forward(ends.x(), routing, ofSecondary, secondaryKept, secondary));
    b.forward(gate.forward(routing, primary, secondary, out));
    return () -> {
      PrimaryGateOp.Gradients dPrimary =
          new PrimaryGateOp.Gradients(
              b.work("dPrimaryGates", tokens, primaryK), b.work("dPrimaryLoad", 1, groups));
      PrimaryGateOp.Gradients dSecondary =
          new PrimaryGateOp.Gradients(
              b.work("dSecondaryGates", pairs, secondaryK),
              b.work("dSecondaryLoad", 1, (long) groups * size));
      SecondaryGateOp.Scratch scratch =
          new SecondaryGateOp.Scratch(
              b.work("dSecondaryClean", pairs, size),
              b.work("dSecondaryRaw", pairs, size),
              b.work("groupX", pairs, width),
              b.work("dGroupX", pairs, width));
      b.backward(gate.backward(routing, primary, secondary, out, dGates, dPrimary, dSecondary));
      b.backward(
          secondaryGate.backward(
              ends.x(),
              routing,
              ofSecondary,
              secondaryKept,
              secondary,
              dSecondary,
              scratch,
              ends.dx()));
      b.backward(
          primaryGate.backward(
              ends.x(),
              ofPrimary,
              primaryKept,
              primary,
              dPrimary,
              b.work("dPrimaryClean", tokens, groups),
              b.work("dPrimaryRaw", tokens, groups),
              ends.dx()));
    };
  }
}
