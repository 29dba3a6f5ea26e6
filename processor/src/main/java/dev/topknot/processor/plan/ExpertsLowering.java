package dev.topknot.processor.plan;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.model.ExpertKind;
import dev.topknot.processor.model.MoE;
import dev.topknot.processor.model.Modifiers;
import dev.topknot.processor.plan.MoELowering.Ends;

/** Lowers the experts of a layer: each kind on its slots, shared ones on all tokens. */
final class ExpertsLowering {
  private final Program program;
  private final Parameters parameters;
  private final Tile tile;
  private final String name;
  private final int tokens;
  private final int width;
  private final int number;
  private final MoE moe;
  private final LayerBuilder b;

  /** Prepares the lowering; the arguments are those of the layer's. */
  ExpertsLowering(
      Program program,
      Parameters parameters,
      Tile tile,
      String name,
      int tokens,
      int width,
      int number,
      MoE moe,
      LayerBuilder b) {
    this.program = program;
    this.parameters = parameters;
    this.tile = tile;
    this.name = name;
    this.tokens = tokens;
    this.width = width;
    this.number = number;
    this.moe = moe;
    this.b = b;
  }

  private boolean training() {
    return program == Program.TRAIN;
  }

  /** What the gate and the dispatch say, and what combine reads; gradients in training only. */
  record Slots(Routing routing, Buffer gates, Buffer dGates, Buffer out, Buffer dOut) {}

  /**
   * Experts of one kind and the names of what is theirs.
   *
   * @param file the name of one of its weights in files, less the weight
   * @param suffix of the layer's own names of its buffers
   */
  private record Kind(ExpertKind spec, String file, String suffix) {
    int hidden() {
      return spec.width();
    }

    boolean swiglu() {
      return spec.activation() == ActivationFunction.SWIGLU;
    }
  }

  /** The kinds that the gate chooses from. */
  void routed(Ends ends, Slots slots) {
    int first = 0;
    int kinds = 0;
    for (ExpertKind spec : moe.routed()) {
      ExpertRange range =
          new ExpertRange(tokens, moe.k(), moe.places(), moe.experts(), first, spec.count());
      String copy = first == 0 ? "*" : first + "+*";
      kinds++;
      Kind kind = new Kind(spec, "experts." + copy, kinds == 1 ? "" : "Kind" + kinds);
      if (kind.swiglu()) {
        swigluExperts(kind, range, ends, slots);
      } else if (spec.deep()) {
        deepExperts(kind, range, ends, slots);
      } else {
        experts(kind, range, ends, slots);
      }
      first += spec.count();
    }
  }

  /** The only expert of a layer: no gate, no dispatch, no combine. */
  void only(Ends ends) {
    feedForward(new Kind(moe.routed().get(0), "experts.*", ""), ends);
  }

  /** The experts that every token visits: each adds to the output and to the input's gradient. */
  void shared(Ends ends) {
    int experts = 0;
    for (ExpertKind spec : moe.shared()) {
      for (int i = 0; i < spec.count(); i++) {
        Kind kind = new Kind(spec, "shared." + experts, "Shared" + experts);
        experts++;
        Ends own =
            new Ends(
                ends.x(),
                work(kind, "y", tokens, width),
                ends.dy(),
                training() ? work(kind, "dx", tokens, width) : null);
        feedForward(kind, own);
        PointwiseOp sum =
            new PointwiseOp(
                name, tokens, width, new Modifiers(ActivationFunction.IDENTITY, 0, true), number);
        b.forward(sum.addResidual(own.y(), ends.y()));
        if (training()) {
          b.backward(sum.addResidual(own.dx(), ends.dx()));
        }
      }
    }
  }

  /** A forward call; what slots hold that are left over, or of another kind, is no fault. */
  private void routed(ExpertRange range, Slots slots, Call call) {
    boolean all = range.whole() && !moe.balanced();
    b.forward(all ? call : call.resultIn(slots.routing.rows()));
  }

  private Tile tile(ExpertRange range, int hidden) {
    return tile.forExperts(range.slots() / range.all(), width, hidden);
  }

  private Tile tileOfAll(int hidden) {
    return tile.forExperts(tokens, width, hidden);
  }

  private Buffer work(Kind kind, String local, long rows, long columns) {
    return b.work(local + kind.suffix(), rows, columns);
  }

  private Buffer weight(Kind kind, String local, long rows, long columns) {
    int copies = kind.spec().shared() ? 1 : kind.spec().count();
    return b.parameter(
        local + kind.suffix(),
        parameters.slot(
            name,
            kind.file() + "." + local,
            copies,
            rows,
            columns,
            Parameter.Init.GLOROT_UNIFORM,
            number));
  }

  private void experts(Kind kind, ExpertRange range, Ends ends, Slots slots) {
    long pairs = range.slots();
    int h = kind.hidden();
    ExpertsOp op = new ExpertsOp(name, range, width, h, kind.spec().activation(), tile(range, h));
    ExpertsOp.Weights weights =
        new ExpertsOp.Weights(weight(kind, "w1", h, width), weight(kind, "w2", width, h));
    Buffer gathered = b.work("gathered", pairs, width);
    Buffer hidden = work(kind, "hidden", pairs, h);
    routed(range, slots, op.forward(ends.x(), slots.routing, weights, gathered, hidden, slots.out));
    if (training()) {
      ExpertsOp.Scratch scratch =
          new ExpertsOp.Scratch(
              b.work("gatheredAgain", pairs, width),
              b.work("gatheredDy", pairs, width),
              work(kind, "dHidden", pairs, h));
      Buffer kept = hidden;
      if (moe.recompute()) {
        kept = work(kind, "hiddenAgain", pairs, h);
        b.backward(op.recompute(ends.x(), slots.routing, weights, scratch.gathered(), kept));
      }
      b.backward(
          op.backward(
              ends.x(),
              ends.dy(),
              slots.routing,
              slots.gates,
              weights,
              kept,
              slots.dGates,
              scratch,
              slots.dOut));
    }
  }

  private void swigluExperts(Kind kind, ExpertRange range, Ends ends, Slots slots) {
    long pairs = range.slots();
    int h = kind.hidden();
    SwigluExpertsOp op = new SwigluExpertsOp(name, range, width, h, tile(range, h));
    SwigluExpertsOp.Weights weights = swigluWeights(kind);
    Buffer gathered = b.work("gathered", pairs, width);
    SwigluExpertsOp.Hidden kept =
        new SwigluExpertsOp.Hidden(work(kind, "u1", pairs, h), work(kind, "v", pairs, h));
    Buffer hidden = work(kind, "hidden", pairs, h);
    routed(
        range,
        slots,
        op.forward(ends.x(), slots.routing, weights, gathered, kept, hidden, slots.out));
    if (training()) {
      SwigluExpertsOp.Scratch scratch =
          new SwigluExpertsOp.Scratch(
              b.work("gatheredAgain", pairs, width),
              b.work("gatheredDy", pairs, width),
              work(kind, "hiddenAgain", pairs, h),
              new SwigluExpertsOp.Hidden(work(kind, "dU1", pairs, h), work(kind, "dV", pairs, h)));
      if (moe.recompute()) {
        kept =
            new SwigluExpertsOp.Hidden(
                work(kind, "u1Again", pairs, h), work(kind, "vAgain", pairs, h));
        b.backward(op.recompute(ends.x(), slots.routing, weights, scratch.gathered(), kept));
      }
      b.backward(
          op.backward(
              ends.x(),
              ends.dy(),
              slots.routing,
              slots.gates,
              weights,
              kept,
              slots.dGates,
              scratch,
              slots.dOut));
    }
  }

  private SwigluExpertsOp.Weights swigluWeights(Kind kind) {
    int h = kind.hidden();
    return new SwigluExpertsOp.Weights(
        weight(kind, "w1", h, width), weight(kind, "w2", width, h), weight(kind, "w3", h, width));
  }

  /** Several hidden layers: an op each, and one for what follows the last. */
  private void deepExperts(Kind kind, ExpertRange range, Ends ends, Slots slots) {
    long pairs = range.slots();
    int layers = kind.spec().hidden().size();
    ExpertsHiddenOp[] ops = new ExpertsHiddenOp[layers];
    Buffer[] weights = new Buffer[layers];
    for (int i = 0; i < layers; i++) {
      int inputs = i == 0 ? width : kind.spec().hidden().get(i - 1);
      int outputs = kind.spec().hidden().get(i);
      ops[i] =
          new ExpertsHiddenOp(name, range, inputs, outputs, kind.spec().activation(), i == 0, tile);
      weights[i] = weight(kind, "w" + (i + 1), outputs, inputs);
    }
    ExpertsOutputOp output = new ExpertsOutputOp(name, range, width, kind.hidden(), tile);
    Buffer last = weight(kind, "w" + (layers + 1), width, kind.hidden());

    Layer[] kept = new Layer[layers];
    Buffer gathered = b.work("gathered", pairs, width);
    for (int i = 0; i < layers; i++) {
      kept[i] = layer(kind, i, ops[i].keepsPreActivation(), pairs, "");
      Buffer in = i == 0 ? ends.x() : kept[i - 1].a;
      Buffer rows = i == 0 ? gathered : in;
      routed(
          range, slots, ops[i].forward(in, slots.routing, weights[i], rows, kept[i].z, kept[i].a));
    }
    routed(range, slots, output.forward(kept[layers - 1].a, slots.routing, last, slots.out));
    if (!training()) {
      return;
    }
    Buffer gatheredAgain = b.work("gatheredAgain", pairs, width);
    if (moe.recompute()) {
      for (int i = 0; i < layers; i++) {
        kept[i] = layer(kind, i, ops[i].keepsPreActivation(), pairs, "Again");
        Buffer in = i == 0 ? ends.x() : kept[i - 1].a;
        Buffer rows = i == 0 ? gatheredAgain : in;
        b.backward(ops[i].forward(in, slots.routing, weights[i], rows, kept[i].z, kept[i].a));
      }
    }
    Buffer da = work(kind, "dHidden" + layers, pairs, kind.hidden());
    b.backward(
        output.backward(
            kept[layers - 1].a,
            ends.dy(),
            slots.routing,
            slots.gates,
            last,
            slots.dGates,
            b.work("gatheredDy", pairs, width),
            da));
    for (int i = layers - 1; i >= 0; i--) {
      Buffer in = i == 0 ? ends.x() : kept[i - 1].a;
      Buffer rows = i == 0 ? gatheredAgain : in;
      Buffer dIn =
          i == 0 ? slots.dOut : work(kind, "dHidden" + i, pairs, kind.spec().hidden().get(i - 1));
      b.backward(ops[i].backward(in, slots.routing, weights[i], kept[i].z, da, rows, dIn));
      da = dIn;
    }
  }

  /** What a hidden layer leaves: its activation, and what its slope needs, often the same. */
  private record Layer(Buffer z, Buffer a) {}

  private Layer layer(Kind kind, int i, boolean keepsPreActivation, long rows, String again) {
    int columns = kind.spec().hidden().get(i);
    Buffer a = work(kind, "hidden" + (i + 1) + again, rows, columns);
    return new Layer(keepsPreActivation ? work(kind, "z" + (i + 1) + again, rows, columns) : a, a);
  }

  /** An expert on all tokens. */
  private void feedForward(Kind kind, Ends ends) {
    if (kind.swiglu()) {
      swigluFeedForward(kind, ends);
    } else if (kind.spec().deep()) {
      deepFeedForward(kind, ends);
    } else {
      plainFeedForward(kind, ends);
    }
  }

  private void plainFeedForward(Kind kind, Ends ends) {
    int h = kind.hidden();
    FeedForwardOp op =
        new FeedForwardOp(name, tokens, width, h, kind.spec().activation(), tileOfAll(h));
    Buffer w1 = weight(kind, "w1", h, width);
    Buffer w2 = weight(kind, "w2", width, h);
    Buffer hidden = work(kind, "hidden", tokens, h);
    b.forward(op.forward(ends.x(), w1, w2, hidden, ends.y()));
    if (training()) {
      Buffer kept = hidden;
      if (moe.recompute()) {
        kept = work(kind, "hiddenAgain", tokens, h);
        b.backward(op.recompute(ends.x(), w1, kept));
      }
      Buffer dHidden = work(kind, "dHidden", tokens, h);
      b.backward(op.backward(ends.x(), w1, w2, kept, ends.dy(), dHidden, ends.dx()));
    }
  }

  private void swigluFeedForward(Kind kind, Ends ends) {
    int h = kind.hidden();
    SwigluFeedForwardOp op = new SwigluFeedForwardOp(name, tokens, width, h, tileOfAll(h));
    SwigluExpertsOp.Weights weights = swigluWeights(kind);
    SwigluExpertsOp.Hidden kept =
        new SwigluExpertsOp.Hidden(work(kind, "u1", tokens, h), work(kind, "v", tokens, h));
    b.forward(op.forward(ends.x(), weights, kept, work(kind, "hidden", tokens, h), ends.y()));
    if (training()) {
      SwigluExpertsOp.Hidden gradients =
          new SwigluExpertsOp.Hidden(work(kind, "dU1", tokens, h), work(kind, "dV", tokens, h));
      Buffer hidden = work(kind, "hiddenAgain", tokens, h);
      if (moe.recompute()) {
        kept =
            new SwigluExpertsOp.Hidden(
                work(kind, "u1Again", tokens, h), work(kind, "vAgain", tokens, h));
        b.backward(op.recompute(ends.x(), weights, kept));
      }
      b.backward(op.backward(ends.x(), weights, kept, ends.dy(), hidden, gradients, ends.dx()));
    }
  }

  /** Dense layers without biases, the last without a function. */
  private void deepFeedForward(Kind kind, Ends ends) {
    int layers = kind.spec().hidden().size();
    DenseOp[] ops = new DenseOp[layers + 1];
    Buffer[] weights = new Buffer[layers + 1];
    for (int i = 0; i <= layers; i++) {
      int inputs = i == 0 ? width : kind.spec().hidden().get(i - 1);
      int outputs = i == layers ? width : kind.spec().hidden().get(i);
      ActivationFunction function =
          i == layers ? ActivationFunction.IDENTITY : kind.spec().activation();
      ops[i] = new DenseOp(name, tokens, inputs, outputs, function, false, tile);
      weights[i] = weight(kind, "w" + (i + 1), outputs, inputs);
    }
    Layer[] kept = new Layer[layers + 1];
    kept[layers] = new Layer(ends.y(), ends.y());
    for (int i = 0; i <= layers; i++) {
      if (i < layers) {
        kept[i] = layer(kind, i, ops[i].keepsPreActivation(), tokens, "");
      }
      Buffer in = i == 0 ? ends.x() : kept[i - 1].a;
      b.forward(ops[i].forward(in, weights[i], kept[i].z, kept[i].a));
    }
    if (!training()) {
      return;
    }
    if (moe.recompute()) {
      for (int i = 0; i < layers; i++) {
        kept[i] = layer(kind, i, ops[i].keepsPreActivation(), tokens, "Again");
        Buffer in = i == 0 ? ends.x() : kept[i - 1].a;
        b.backward(ops[i].forward(in, weights[i], kept[i].z, kept[i].a));
      }
    }
    Buffer dy = ends.dy();
    for (int i = layers; i >= 0; i--) {
      Buffer in = i == 0 ? ends.x() : kept[i - 1].a;
      Buffer dIn =
          i == 0 ? ends.dx() : work(kind, "dHidden" + i, tokens, kind.spec().hidden().get(i - 1));
      Buffer z = i == layers ? dy : kept[i].z; // which a layer without a function does not need
      b.backward(ops[i].backward(in, weights[i], z, dy, dIn));
      dy = dIn;
    }
  }
}
