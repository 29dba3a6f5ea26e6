package dev.topknot.processor.plan;

import dev.topknot.dsl.Gating;
import dev.topknot.processor.model.ExpertKind;
import dev.topknot.processor.model.MoE;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Lowers a Mixture-of-Experts layer: gate, dispatch, experts, combine. */
final class MoELowering {
  private final Program program;
  private final Parameters parameters;
  private final Tile tile;
  private final String name;
  private final int tokens;
  private final int width;
  private final int number;

  /**
   * Prepares the lowering.
   *
   * @param tile of the layer's precision
   * @param name the layer's name; empty for a layer of its own
   * @param number the layer's number in its model, which separates random streams
   */
  MoELowering(
      Program program,
      Parameters parameters,
      Tile tile,
      String name,
      int tokens,
      int width,
      int number) {
    this.program = program;
    this.parameters = parameters;
    this.tile = tile;
    this.name = name;
    this.tokens = tokens;
    this.width = width;
    this.number = number;
  }

  /** Input, output and their gradients, the latter used in training only. */
  record Ends(Buffer x, Buffer y, Buffer dy, Buffer dx) {}

  static String title(MoE moe, int width) {
    List<String> parts = new ArrayList<>();
    parts.add(
        moe.experts() == 1
            ? "feed-forward"
            : "%d experts, %s".formatted(moe.experts(), choice(moe)));
    boolean one = moe.routed().size() == 1;
    for (ExpertKind kind : moe.kinds()) {
      String subject = kind.shared() ? kind.count() + " shared: " : one ? "" : kind.count() + ": ";
      String function = ModelLowering.function(kind.activation(), " ");
      parts.add(subject + kind.widths(width) + "," + function);
    }
    return String.join(", ", parts) + (moe.recompute() ? ", recomputed" : "");
  }

  private static String choice(MoE moe) {
    return moe.hierarchy()
        .map(it -> "%d of %d groups, k = %d in each".formatted(it.k(), it.groups(), moe.groupK()))
        .orElse("k = %d%s".formatted(moe.k(), moe.balanced() ? ", strictly balanced" : ""));
  }

  private boolean training() {
    return program == Program.TRAIN;
  }

  void lower(MoE annotated, Ends ends, LayerBuilder b) {
    MoE moe = annotated.balanced() ? annotated.withK(balancedK(annotated)) : annotated;
    ExpertsLowering experts =
        new ExpertsLowering(program, parameters, tile, name, tokens, width, number, moe, b);
    if (moe.experts() == 1) {
      experts.only(ends);
      experts.shared(ends);
      return;
    }
    long pairs = (long) tokens * moe.k();
    int places = moe.places();
    GateBuffers gate =
        new GateBuffers(
            b.integers("chosen", (long) tokens * places),
            b.work("gates", tokens, places),
            b.work("importance", 1, moe.experts()),
            b.work("load", 1, moe.experts()));
    Routing routing =
        new Routing(
            b.integers("offsets", moe.experts() + 1L),
            b.integers("rows", pairs),
            b.integers("slots", (long) tokens * places));
    Buffer dGates = training() ? b.work("dGates", tokens, places) : null;
    Buffer out = b.work("out", pairs, width);
    Buffer dOut = training() ? b.work("dOut", pairs, width) : null;

    Runnable gateBackward =
        moe.hierarchy().isPresent()
            ? hierarchy(moe, ends, gate, dGates, b)
            : gate(annotated, ends, gate, dGates, b);
    if (program == Program.EVALUATE && !name.isEmpty() && !moe.balanced()) {
      b.routing(new LayerPlan.RoutingSource(moe.k(), gate.chosen(), gate.gates()));
    }
    b.forward(
        moe.balanced()
            ? new BalancedDispatchOp(name, tokens, moe.experts(), moe.k())
                .forward(gate.chosen(), routing)
            : new DispatchOp(name, tokens, moe.experts(), moe.k()).forward(gate.chosen(), routing));
    experts.routed(ends, new ExpertsLowering.Slots(routing, gate.gates(), dGates, out, dOut));
    combine(moe, ends, gate, routing, out, dOut, b);
    if (training()) {
      gateBackward.run();
    }
    experts.shared(ends);
  }

  /** Experts of a token on average: what its training says, elsewhere at most. */
  private int balancedK(MoE moe) {
    return switch (program) {
      case TRAIN -> moe.k();
      case EVALUATE -> moe.thresholds().k();
      case GENERATE -> moe.experts();
    };
  }

  private void combine(
      MoE moe,
      Ends ends,
      GateBuffers gate,
      Routing routing,
      Buffer out,
      Buffer dOut,
      LayerBuilder b) {
    if (moe.balanced()) {
      BalancedCombineOp op = new BalancedCombineOp(name, tokens, width, moe.experts());
      b.forward(op.forward(out, gate.gates(), routing.slots(), ends.y()));
      if (training()) {
        b.backward(op.backward(dOut, routing.slots(), ends.dx()));
      }
      return;
    }
    CombineOp op = new CombineOp(name, tokens, width, moe.k());
    b.forward(op.forward(out, gate.gates(), routing.slots(), ends.y()));
    if (training()) {
      b.backward(op.backward(dOut, routing.slots(), ends.dx()));
    }
  }

  /** Emits the gate's forward pass; the result emits its backward pass. */
  private Runnable gate(MoE moe, Ends ends, GateBuffers out, Buffer dGates, LayerBuilder b) {
    long n = moe.experts();
    Buffer clean = b.work("clean", tokens, n);
    Buffer dClean = training() ? b.work("dClean", tokens, n) : null;
    Buffer gateWeights = gateParameter("gateWeights", "gate.weight", n, b);
    if (moe.balanced()) {
      return balancedGate(moe, ends, gateWeights, clean, out, dGates, dClean, b);
    }
    Tile gateTile = tile.forGate(tokens, moe.experts());
    if (moe.gating() != Gating.NOISY_TOP_K) {
      TopKGateOp op = new TopKGateOp(name, tokens, width, moe, gateTile);
      balance(op, out, Optional.empty(), moe.k(), b);
      b.forward(op.forward(training() ? "forward" : "infer", ends.x(), gateWeights, clean, out));
      return () ->
          b.backward(op.backward(ends.x(), gateWeights, clean, out, dGates, dClean, ends.dx()));
    }
    NoisyTopKGateOp op = new NoisyTopKGateOp(name, tokens, width, moe, number, gateTile);
    balance(op, out, Optional.empty(), moe.k(), b);
    if (!training()) { // which has laid out the noise's weights before
      b.forward(op.infer(ends.x(), gateWeights, clean, out));
      return () -> {};
    }
    NoisyTopKGateOp.Weights weights =
        new NoisyTopKGateOp.Weights(
            gateWeights, gateParameter("noiseWeights", "noise.weight", n, b));
    NoisyTopKGateOp.Kept kept =
        new NoisyTopKGateOp.Kept(clean, b.work("raw", tokens, n), b.work("noisy", tokens, n));
    Buffer dRaw = b.work("dRaw", tokens, n);
    b.forward(op.forward(ends.x(), weights, kept, out));
    return () ->
        b.backward(op.backward(ends.x(), weights, kept, out, dGates, dClean, dRaw, ends.dx()));
  }

  /** Likewise of two levels of gates. */
  private Runnable hierarchy(MoE moe, Ends ends, GateBuffers out, Buffer dGates, LayerBuilder b) {
    HierarchicalGateOp gate = new HierarchicalGateOp(name, tokens, moe);
    balance(gate, out, Optional.empty(), moe.k(), b);
    HierarchyLowering levels =
        new HierarchyLowering(parameters, name, tokens, width, number, moe, b);
    if (!training()) {
      levels.infer(gate, ends.x(), out);
      return () -> {};
    }
    return levels.train(gate, ends, out, dGates);
  }

  private Runnable balancedGate(
      MoE moe,
      Ends ends,
      Buffer gateWeights,
      Buffer logits,
      GateBuffers out,
      Buffer dGates,
      Buffer dLogits,
      LayerBuilder b) {
    long n = moe.experts();
    Buffer thresholds =
        b.parameter(
            "thresholds",
            parameters.slot(name, "gate.threshold", 1, n, moe.thresholds().start(), number));
    StrictlyBalancedGateOp op =
        new StrictlyBalancedGateOp(name, tokens, width, moe, tile.forGate(tokens, moe.experts()));
    StrictlyBalancedGateOp.Weights weights =
        new StrictlyBalancedGateOp.Weights(gateWeights, thresholds);
    StrictlyBalancedGateOp.Kept kept =
        new StrictlyBalancedGateOp.Kept(logits, b.work("above", 1, n), b.integers("dropped", 1));
    balance(op, out, Optional.of(kept.dropped()), balancedK(moe), b);
    b.forward(op.forward(training() ? "forward" : "infer", ends.x(), weights, kept, out));
    return () -> b.backward(op.backward(ends.x(), weights, kept, out, dGates, dLogits, ends.dx()));
  }

  private Buffer gateParameter(String local, String file, long n, LayerBuilder b) {
    return b.parameter(
        local, parameters.slot(name, file, 1, n, width, Parameter.Init.ZERO, number));
  }

  private void balance(Op gate, GateBuffers out, Optional<Buffer> dropped, int k, LayerBuilder b) {
    if (program != Program.GENERATE) {
      Buffer offsets = b.buffer("offsets");
      b.balance(
          new LayerPlan.BalanceSource(gate, out.importance(), out.load(), offsets, dropped, k));
    }
  }
}
