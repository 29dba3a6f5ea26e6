package dev.topknot.processor.plan;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.processor.model.MoE;

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
    int hidden = moe.expert().width();
    String function = ModelLowering.function(moe.expert().activation(), " ");
    return moe.experts() == 1
        ? "feed-forward, %d to %d to %d,%s".formatted(width, hidden, width, function)
        : "%d experts, k = %d, %d to %d to %d,%s"
            .formatted(moe.experts(), moe.k(), width, hidden, width, function);
  }

  private boolean training() {
    return program == Program.TRAIN;
  }

  private Tile tile(MoE moe) {
    long rows = (long) tokens * moe.k() / moe.experts();
    return tile.forExperts(rows, width, moe.expert().width());
  }

  void lower(MoE moe, Ends ends, LayerBuilder b) {
    if (moe.experts() == 1) {
      feedForward(moe, ends, b);
      return;
    }
    int k = moe.k();
    long pairs = (long) tokens * k;
    GateBuffers gate =
        new GateBuffers(
            b.integers("chosen", pairs),
            b.work("gates", tokens, k),
            b.work("importance", 1, moe.experts()),
            b.work("load", 1, moe.experts()));
    Routing routing =
        new Routing(
            b.integers("offsets", moe.experts() + 1L),
            b.integers("rows", pairs),
            b.integers("slots", pairs));
    Buffer dGates = training() ? b.work("dGates", tokens, k) : null;
    Buffer out = b.work("out", pairs, width);
    Buffer dOut = training() ? b.work("dOut", pairs, width) : null;
    CombineOp combine = new CombineOp(name, tokens, width, k);

    Runnable gateBackward = gate(moe, ends, gate, dGates, b);
    b.forward(new DispatchOp(name, tokens, moe.experts(), k).forward(gate.chosen(), routing));
    if (moe.expert().activation() == ActivationFunction.SWIGLU) {
      swigluExperts(moe, ends, gate, routing, dGates, out, dOut, b);
    } else {
      experts(moe, ends, gate, routing, dGates, out, dOut, b);
    }
    b.forward(combine.forward(out, gate.gates(), routing.slots(), ends.y()));
    if (training()) {
      b.backward(combine.backward(dOut, routing.slots(), ends.dx()));
      gateBackward.run();
    }
  }

  /** Emits the gate's forward pass; the result emits its backward pass. */
  private Runnable gate(MoE moe, Ends ends, GateBuffers out, Buffer dGates, LayerBuilder b) {
    long n = moe.experts();
    Buffer clean = b.work("clean", tokens, n);
    Buffer dClean = training() ? b.work("dClean", tokens, n) : null;
    Buffer gateWeights = gateParameter("gateWeights", "gate.weight", n, b);
    Tile gateTile = tile.forGate(tokens, moe.experts());
    if (moe.gating() != Gating.NOISY_TOP_K) {
      TopKGateOp op = new TopKGateOp(name, tokens, width, moe, gateTile);
      balance(op, out, b);
      b.forward(op.forward(training() ? "forward" : "infer", ends.x(), gateWeights, clean, out));
      return () ->
          b.backward(op.backward(ends.x(), gateWeights, clean, out, dGates, dClean, ends.dx()));
    }
    NoisyTopKGateOp op = new NoisyTopKGateOp(name, tokens, width, moe, number, gateTile);
    balance(op, out, b);
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

  private Buffer gateParameter(String local, String file, long n, LayerBuilder b) {
    return b.parameter(
        local, parameters.slot(name, file, 1, n, width, Parameter.Init.ZERO, number));
  }

  private void balance(Op gate, GateBuffers out, LayerBuilder b) {
    if (program != Program.GENERATE) {
      Buffer offsets = b.buffer("offsets");
      b.balance(new LayerPlan.BalanceSource(gate, out.importance(), out.load(), offsets));
    }
  }

  private Buffer expertParameter(MoE moe, String local, long rows, long columns, LayerBuilder b) {
    return b.parameter(
        local,
        parameters.slot(
            name,
            "experts.*." + local,
            moe.experts(),
            rows,
            columns,
            Parameter.Init.GLOROT_UNIFORM,
            number));
  }

  private void experts(
      MoE moe,
      Ends ends,
      GateBuffers gate,
      Routing routing,
      Buffer dGates,
      Buffer out,
      Buffer dOut,
      LayerBuilder b) {
    long pairs = (long) tokens * moe.k();
    int h = moe.expert().width();
    ExpertsOp op = new ExpertsOp(name, tokens, width, moe, tile(moe));
    ExpertsOp.Weights weights =
        new ExpertsOp.Weights(
            expertParameter(moe, "w1", h, width, b), expertParameter(moe, "w2", width, h, b));
    Buffer gathered = b.work("gathered", pairs, width);
    Buffer hidden = b.work("hidden", pairs, h);
    b.forward(op.forward(ends.x(), routing, weights, gathered, hidden, out));
    if (training()) {
      ExpertsOp.Scratch scratch =
          new ExpertsOp.Scratch(
              b.work("gatheredAgain", pairs, width),
              b.work("gatheredDy", pairs, width),
              b.work("dHidden", pairs, h));
      b.backward(
          op.backward(
              ends.x(), ends.dy(), routing, gate.gates(), weights, hidden, dGates, scratch, dOut));
    }
  }

  private void swigluExperts(
      MoE moe,
      Ends ends,
      GateBuffers gate,
      Routing routing,
      Buffer dGates,
      Buffer out,
      Buffer dOut,
      LayerBuilder b) {
    long pairs = (long) tokens * moe.k();
    int h = moe.expert().width();
    SwigluExpertsOp op = new SwigluExpertsOp(name, tokens, width, moe, tile(moe));
    SwigluExpertsOp.Weights weights = swigluWeights(moe, b);
    Buffer gathered = b.work("gathered", pairs, width);
    SwigluExpertsOp.Hidden kept =
        new SwigluExpertsOp.Hidden(b.work("u1", pairs, h), b.work("v", pairs, h));
    Buffer hidden = b.work("hidden", pairs, h);
    b.forward(op.forward(ends.x(), routing, weights, gathered, kept, hidden, out));
    if (training()) {
      SwigluExpertsOp.Scratch scratch =
          new SwigluExpertsOp.Scratch(
              b.work("gatheredAgain", pairs, width),
              b.work("gatheredDy", pairs, width),
              b.work("hiddenAgain", pairs, h),
              new SwigluExpertsOp.Hidden(b.work("dU1", pairs, h), b.work("dV", pairs, h)));
      b.backward(
          op.backward(
              ends.x(), ends.dy(), routing, gate.gates(), weights, kept, dGates, scratch, dOut));
    }
  }

  private SwigluExpertsOp.Weights swigluWeights(MoE moe, LayerBuilder b) {
    int h = moe.expert().width();
    return new SwigluExpertsOp.Weights(
        expertParameter(moe, "w1", h, width, b),
        expertParameter(moe, "w2", width, h, b),
        expertParameter(moe, "w3", h, width, b));
  }

  /** One expert: no gate, no dispatch, no combine. */
  private void feedForward(MoE moe, Ends ends, LayerBuilder b) {
    int h = moe.expert().width();
    if (moe.expert().activation() == ActivationFunction.SWIGLU) {
      SwigluFeedForwardOp op = new SwigluFeedForwardOp(name, tokens, width, h, tile(moe));
      SwigluExpertsOp.Weights weights = swigluWeights(moe, b);
      SwigluExpertsOp.Hidden kept =
          new SwigluExpertsOp.Hidden(b.work("u1", tokens, h), b.work("v", tokens, h));
      b.forward(op.forward(ends.x(), weights, kept, b.work("hidden", tokens, h), ends.y()));
      if (training()) {
        SwigluExpertsOp.Hidden gradients =
            new SwigluExpertsOp.Hidden(b.work("dU1", tokens, h), b.work("dV", tokens, h));
        Buffer hidden = b.work("hiddenAgain", tokens, h);
        b.backward(op.backward(ends.x(), weights, kept, ends.dy(), hidden, gradients, ends.dx()));
      }
      return;
    }
    FeedForwardOp op =
        new FeedForwardOp(name, tokens, width, h, moe.expert().activation(), tile(moe));
    Buffer w1 = expertParameter(moe, "w1", h, width, b);
    Buffer w2 = expertParameter(moe, "w2", width, h, b);
    Buffer hidden = b.work("hidden", tokens, h);
    b.forward(op.forward(ends.x(), w1, w2, hidden, ends.y()));
    if (training()) {
      Buffer dHidden = b.work("dHidden", tokens, h);
      b.backward(op.backward(ends.x(), w1, w2, hidden, ends.dy(), dHidden, ends.dx()));
    }
  }
}
