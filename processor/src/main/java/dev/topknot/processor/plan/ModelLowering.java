package dev.topknot.processor.plan;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Modifiers;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Lowers the layers of a model to calls, for one program. */
final class ModelLowering {
  private final Program program;
  private final Parameters parameters;
  private final int batch;
  private final int timesteps;
  private final int tokens;
  private final Tile tile;

  ModelLowering(Program program, Parameters parameters, Tile tile, int batch, int timesteps) {
    this.program = program;
    this.parameters = parameters;
    this.tile = tile;
    this.batch = batch;
    this.timesteps = timesteps;
    this.tokens = batch * timesteps;
  }

  /** What flows from layer to layer: the output, its gradient in training, its width. */
  private record Flow(Buffer y, Buffer dy, int width) {}

  List<LayerPlan> lower(ModelSpec model) {
    List<LayerPlan> plans = new ArrayList<>();
    Flow flow = new Flow(new Buffer("inputs", Region.CALL, 1, tokens, true), null, 0);
    for (int i = 0; i < model.layers().size(); i++) {
      ModelSpec.Layer layer = model.layers().get(i);
      LayerBuilder builder = new LayerBuilder(layer.name(), title(layer, flow.width()));
      flow = lower(layer, i, flow, builder);
      plans.add(builder.build());
    }
    return plans;
  }

  private boolean training() {
    return program == Program.TRAIN;
  }

  private Flow lower(ModelSpec.Layer layer, int number, Flow in, LayerBuilder b) {
    if (layer.kind() instanceof LayerKind.Softmax softmax) {
      softmax(layer, softmax, number, in, b);
      return in;
    }
    int width = Counts.width(layer.kind(), in.width());
    Modifiers modifiers = layer.modifiers();
    boolean modified = !modifiers.equals(Modifiers.NONE);
    boolean first = layer.kind() instanceof LayerKind.Embedding;
    b.local(first ? "ids" : "x", in.y());
    Buffer u = b.work(modified ? "u" : "y", tokens, width);
    Buffer y = modified ? b.work("y", tokens, width) : u;
    Buffer dy = training() ? b.work("dy", tokens, width) : null;
    Buffer du = training() && modified ? b.work("du", tokens, width) : dy;
    if (training() && !first) {
      b.local("dx", in.dy());
    }
    PointwiseOp pointwise = new PointwiseOp(layer.name(), tokens, width, modifiers, number);
    // An embedding has no matrix as its input; its modifiers see the output in its place.
    Buffer x = first ? u : in.y();
    if (training() && modified) {
      b.backward(pointwise.backward(u, dy, du));
    }
    kind(layer, number, in, new MoELowering.Ends(x, u, du, in.dy()), b);
    if (modified) {
      b.forward(pointwise.forward(u, x, y));
    }
    if (training() && modifiers.residual()) {
      b.backward(pointwise.addResidual(dy, in.dy()));
    }
    b.output(y);
    return new Flow(y, dy, width);
  }

  private void kind(
      ModelSpec.Layer layer, int number, Flow in, MoELowering.Ends ends, LayerBuilder b) {
    String name = layer.name();
    if (layer.kind() instanceof LayerKind.Embedding embedding) {
      embedding(name, embedding, number, in.y(), ends, b);
    } else if (layer.kind() instanceof LayerKind.Lstm lstm) {
      lstm(name, lstm, number, in.width(), ends, b);
    } else if (layer.kind() instanceof LayerKind.Dense dense) {
      dense(name, dense, number, in.width(), ends, b);
    } else if (layer.kind() instanceof LayerKind.Experts experts) {
      new MoELowering(program, parameters, tile, name, tokens, in.width(), number)
          .lower(experts.moe(), ends, b);
    }
  }

  private void embedding(
      String name,
      LayerKind.Embedding embedding,
      int number,
      Buffer ids,
      MoELowering.Ends ends,
      LayerBuilder b) {
    Buffer weight =
        b.parameter(
            "weight",
            parameters.slot(
                name,
                "weight",
                1,
                embedding.vocabulary(),
                embedding.width(),
                Parameter.Init.EMBEDDING_UNIFORM,
                number));
    EmbeddingOp op = new EmbeddingOp(name, tokens, embedding.vocabulary(), embedding.width());
    b.forward(op.forward(ids, weight, ends.y()));
    if (training()) {
      b.backward(op.backward(ids, ends.dy(), weight));
    }
  }

  private void lstm(
      String name,
      LayerKind.Lstm lstm,
      int number,
      int inputs,
      MoELowering.Ends ends,
      LayerBuilder b) {
    int units = lstm.units();
    int outputs = lstm.outputs();
    LstmOp.Weights weights =
        new LstmOp.Weights(
            b.parameter(
                "inputWeights",
                parameters.slot(
                    name,
                    "weight_ih",
                    1,
                    4L * units,
                    inputs,
                    Parameter.Init.GLOROT_UNIFORM,
                    number)),
            b.parameter(
                "recurrentWeights",
                parameters.slot(
                    name, "weight_hh", 1, 4L * units, outputs, Parameter.Init.RECURRENT, number)),
            b.parameter(
                "bias",
                parameters.slot(name, "bias", 1, 1, 4L * units, Parameter.Init.LSTM_BIAS, number)));
    LstmOp.State state =
        new LstmOp.State(b.state("h0", batch, outputs), b.state("c0", batch, units));
    LstmOp.Kept kept =
        new LstmOp.Kept(
            b.work("gates", tokens, 4L * units), b.work("cells", tokens, units), ends.y());
    if (lstm.projection().isPresent()) {
      Buffer projection =
          b.parameter(
              "projectionWeights",
              parameters.slot(
                  name, "weight_hr", 1, outputs, units, Parameter.Init.RECURRENT, number));
      Buffer cellOutputs = b.work("cellOutputs", tokens, units);
      ProjectedLstmOp op =
          new ProjectedLstmOp(name, batch, timesteps, inputs, units, outputs, tile);
      b.forward(op.forward(weights, projection, ends.x(), state, kept, cellOutputs));
      if (training()) {
        b.backward(
            op.backward(
                weights, projection, ends.x(), state, kept, cellOutputs, ends.dy(), ends.dx()));
      }
      b.commit(op.commit(state, kept));
      return;
    }
    LstmOp op = new LstmOp(name, batch, timesteps, inputs, units, tile);
    b.forward(op.forward(weights, ends.x(), state, kept));
    if (training()) {
      b.backward(op.backward(weights, ends.x(), state, kept, ends.dy(), ends.dx()));
    }
    b.commit(op.commit(state, kept));
  }

  private void dense(
      String name,
      LayerKind.Dense dense,
      int number,
      int inputs,
      MoELowering.Ends ends,
      LayerBuilder b) {
    int units = dense.units();
    DenseOp op = new DenseOp(name, tokens, inputs, units, dense.activation(), true, tile);
    Buffer weight =
        b.parameter(
            "weight",
            parameters.slot(
                name, "weight", 1, units, inputs, Parameter.Init.GLOROT_UNIFORM, number));
    Buffer bias =
        b.parameter(
            "bias", parameters.slot(name, "bias", 1, 1, units, Parameter.Init.ZERO, number));
    Buffer z = op.keepsPreActivation() ? b.work("z", tokens, units) : ends.y();
    b.forward(op.forward(ends.x(), weight, bias, z, ends.y()));
    if (training()) {
      b.backward(op.backward(ends.x(), weight, bias, z, ends.dy(), ends.dx()));
    }
  }

  private void softmax(
      ModelSpec.Layer layer, LayerKind.Softmax softmax, int number, Flow in, LayerBuilder b) {
    String name = layer.name();
    int vocabulary = softmax.vocabulary();
    Buffer x = b.local("x", in.y());
    Buffer weight =
        b.parameter(
            "weight",
            parameters.slot(
                name, "weight", 1, vocabulary, in.width(), Parameter.Init.GLOROT_UNIFORM, number));
    Buffer bias =
        b.parameter(
            "bias", parameters.slot(name, "bias", 1, 1, vocabulary, Parameter.Init.ZERO, number));
    if (training() && softmax.samples().isPresent()) {
      sampledSoftmax(name, softmax, number, in, weight, bias, b);
      return;
    }
    Buffer logits = b.work("logits", tokens, vocabulary);
    SoftmaxLossOp op = new SoftmaxLossOp(name, tokens, in.width(), vocabulary, tile);
    if (program == Program.GENERATE) {
      b.forward(op.probabilities(x, weight, bias, logits));
      b.output(logits);
      return;
    }
    Buffer targets = b.local("targets", new Buffer("targets", Region.CALL, 1, tokens, true));
    Buffer losses = b.work("losses", 1, tokens);
    b.forward(op.forward(x, weight, bias, targets, logits, losses));
    b.output(losses);
    if (training()) {
      Buffer dx = b.local("dx", in.dy());
      b.backward(op.backward(x, weight, bias, logits, targets, dx));
    }
  }

  private void sampledSoftmax(
      String name,
      LayerKind.Softmax softmax,
      int number,
      Flow in,
      Buffer weight,
      Buffer bias,
      LayerBuilder b) {
    SampledSoftmaxLossOp op =
        new SampledSoftmaxLossOp(
            name,
            tokens,
            in.width(),
            softmax.vocabulary(),
            softmax.samples().orElseThrow(),
            number,
            tile);
    Buffer targets = b.local("targets", new Buffer("targets", Region.CALL, 1, tokens, true));
    SampledSoftmaxLossOp.Kept kept =
        new SampledSoftmaxLossOp.Kept(
            b.integers("classes", op.classes()),
            b.integers("classCount", 1),
            b.work("rows", op.classes(), in.width()),
            b.work("logits", tokens, op.classes()));
    Buffer losses = b.work("losses", 1, tokens);
    b.forward(op.forward(in.y(), weight, bias, targets, kept, losses));
    b.output(losses);
    b.backward(op.backward(in.y(), weight, bias, kept, b.local("dx", in.dy())));
  }

  private static String title(ModelSpec.Layer layer, int inputs) {
    LayerKind kind = layer.kind();
    int width = Counts.width(kind, inputs);
    String title;
    if (kind instanceof LayerKind.Embedding embedding) {
      title = "embedding of %d tokens, width %d".formatted(embedding.vocabulary(), width);
    } else if (kind instanceof LayerKind.Lstm lstm) {
      title =
          lstm.projection().isPresent()
              ? "LSTM, %d to %d, projected to %d".formatted(inputs, lstm.units(), width)
              : "LSTM, %d to %d".formatted(inputs, width);
    } else if (kind instanceof LayerKind.Dense dense) {
      title = "dense, %d to %d%s".formatted(inputs, width, function(dense.activation(), ", "));
    } else if (kind instanceof LayerKind.Experts experts) {
      title = MoELowering.title(experts.moe(), inputs);
    } else {
      LayerKind.Softmax softmax = (LayerKind.Softmax) kind;
      title =
          "softmax over %d tokens".formatted(softmax.vocabulary())
              + (softmax.samples().isPresent()
                  ? ", in training over the target and %d samples"
                      .formatted(softmax.samples().getAsInt())
                  : "");
    }
    Modifiers modifiers = layer.modifiers();
    return title
        + function(modifiers.activation(), "; then ")
        + (modifiers.dropout() > 0 ? "; dropout " + modifiers.dropout() : "")
        + (modifiers.residual() ? "; residual" : "");
  }

  static String function(ActivationFunction function, String before) {
    return function == ActivationFunction.IDENTITY
        ? ""
        : before + function.name().toLowerCase(Locale.ROOT);
  }
}
