package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.it.reference.Activation;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Expert;
import dev.topknot.it.reference.Gradients;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.Modifiers;
import dev.topknot.it.reference.Pass;
import dev.topknot.it.reference.Products;
import dev.topknot.runtime.cpu.CpuAccess;
import dev.topknot.runtime.cpu.Dense;
import dev.topknot.runtime.cpu.Embedding;
import dev.topknot.runtime.cpu.FeedForward;
import dev.topknot.runtime.cpu.Ints;
import dev.topknot.runtime.cpu.LogUniform;
import dev.topknot.runtime.cpu.Lstm;
import dev.topknot.runtime.cpu.Noise;
import dev.topknot.runtime.cpu.Pointwise;
import dev.topknot.runtime.cpu.ProjectedLstm;
import dev.topknot.runtime.cpu.SampledSoftmaxLoss;
import dev.topknot.runtime.cpu.SoftmaxLoss;
import dev.topknot.runtime.cpu.SwigluFeedForward;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The operations around the experts against the reference, each on one and on two threads. */
class ModelOpsTest {
  private static final int[] THREADS = {1, 2};

  @ParameterizedTest
  @CsvSource({"1, 1, 8", "7, 7, 40", "33, 20, 512", "33, 33, 8"})
  void embedding(int tokens, int valid, int width) {
    Draw draw = new Draw(tokens);
    int vocabulary = 11;
    Matrix weight = draw.normal(vocabulary, width, 1).rounded();
    Matrix dy = draw.normal(tokens, width, 1).rounded();
    int[] ids = draw.ids(tokens, vocabulary);
    Pass reference =
        new dev.topknot.it.reference.Embedding(weight).forward(Arrays.copyOf(ids, valid));
    for (int threads : THREADS) {
      try (OpRig rig = new OpRig(threads, tokens, valid)) {
        Arrays.fill(ids, valid, tokens, -1);
        Ints inputs = rig.buffers.ints(ids);
        dev.topknot.runtime.cpu.Matrix y = rig.rows(width);
        dev.topknot.runtime.cpu.Matrix dWeight = rig.buffers.floats(vocabulary, width);
        Embedding op = new Embedding(rig.context, "", tokens, vocabulary, width);
        op.forward(rig.run, inputs, rig.buffers.floats(weight), y);
        op.backward(rig.run, inputs, rig.rows(dy), dWeight);

        Close.check("y", y, valid, reference.y());
        Close.check("dWeight", dWeight, reference.backward(dy.resized(valid)).get("weights"));
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, 8, 8",
    "7, 1, 7, 40, 8",
    "7, 1, 5, 8, 40",
    "3, 11, 33, 40, 40",
    "3, 11, 20, 8, 65",
    "1, 33, 33, 512, 7",
    "11, 3, 32, 33, 512"
  })
  void lstm(int batch, int timesteps, int valid, int inputs, int units) {
    int tokens = batch * timesteps;
    Draw draw = new Draw(units);
    Matrix x = draw.normal(tokens, inputs, 1).rounded();
    Matrix dh = draw.normal(tokens, units, 1).rounded();
    Matrix h0 = draw.normal(batch, units, 1).rounded();
    Matrix c0 = draw.normal(batch, units, 1).rounded();
    dev.topknot.it.reference.Lstm lstm =
        new dev.topknot.it.reference.Lstm(
            draw.weights(4 * units, inputs).rounded(),
            draw.weights(4 * units, units).rounded(),
            draw.normal(1, 4 * units, 1).rounded(),
            null);
    dev.topknot.it.reference.Lstm.Forward reference = lstm.forward(x, h0, c0);
    Gradients gradients = reference.backward(dh.resized(valid).resized(tokens));
    float[] once = null;
    for (int threads : THREADS) {
      try (OpRig rig = new OpRig(threads, tokens, valid)) {
        Lstm op = new Lstm(rig.context, "", batch, timesteps, inputs, units);
        dev.topknot.runtime.cpu.Matrix xOp = rig.rows(x);
        dev.topknot.runtime.cpu.Matrix wx = rig.buffers.floats(lstm.inputWeights());
        dev.topknot.runtime.cpu.Matrix wh = rig.buffers.floats(lstm.recurrentWeights());
        dev.topknot.runtime.cpu.Matrix h0Op = rig.buffers.floats(h0);
        dev.topknot.runtime.cpu.Matrix c0Op = rig.buffers.floats(c0);
        dev.topknot.runtime.cpu.Matrix gates = rig.rows(4 * units);
        dev.topknot.runtime.cpu.Matrix cells = rig.rows(units);
        dev.topknot.runtime.cpu.Matrix h = rig.rows(units);
        op.forward(
            rig.run, xOp, wx, wh, rig.buffers.floats(lstm.bias()), h0Op, c0Op, gates, cells, h);
        Close.check("h", h, valid, reference.y().resized(valid));

        dev.topknot.runtime.cpu.Matrix dx = rig.rows(inputs);
        dev.topknot.runtime.cpu.Matrix dWx = rig.buffers.floats(4 * units, inputs);
        dev.topknot.runtime.cpu.Matrix dWh = rig.buffers.floats(4 * units, units);
        dev.topknot.runtime.cpu.Matrix dBias = rig.buffers.floats(1, 4 * units);
        op.backward(
            rig.run, xOp, wx, wh, h0Op, c0Op, gates, cells, h, rig.rows(dh), dx, dWx, dWh, dBias);
        Close.check("dx", dx, valid, gradients.x().resized(valid));
        Close.check("dInputWeights", dWx, gradients.get("inputWeights"));
        Close.check("dRecurrentWeights", dWh, gradients.get("recurrentWeights"));
        Close.check("dBias", dBias, gradients.get("bias"));
        op.commit(rig.run, cells, h, h0Op, c0Op);
        Close.check("carried h", h0Op, reference.h(valid));
        Close.check("carried c", c0Op, reference.c(valid));
        once = sameBits(once, h, dx, dWx, dWh, dBias);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, 8, 8, 1",
    "7, 1, 5, 8, 40, 33",
    "3, 11, 33, 40, 40, 8",
    "3, 11, 20, 8, 65, 64",
    "1, 33, 33, 33, 130, 70",
    "11, 3, 32, 33, 512, 128",
    "4, 5, 2, 8, 8, 5"
  })
  void projectedLstm(int batch, int timesteps, int valid, int inputs, int units, int projection) {
    int tokens = batch * timesteps;
    Draw draw = new Draw(units);
    Matrix x = draw.normal(tokens, inputs, 1).rounded();
    Matrix dh = draw.normal(tokens, projection, 1).rounded();
    Matrix h0 = draw.normal(batch, projection, 1).rounded();
    Matrix c0 = draw.normal(batch, units, 1).rounded();
    dev.topknot.it.reference.Lstm lstm =
        new dev.topknot.it.reference.Lstm(
            draw.weights(4 * units, inputs).rounded(),
            draw.weights(4 * units, projection).rounded(),
            draw.normal(1, 4 * units, 1).rounded(),
            draw.weights(projection, units).rounded());
    dev.topknot.it.reference.Lstm.Forward reference = lstm.forward(x, h0, c0);
    Gradients gradients = reference.backward(dh.resized(valid).resized(tokens));
    float[] once = null;
    for (int threads : THREADS) {
      try (OpRig rig = new OpRig(threads, tokens, valid)) {
        ProjectedLstm op =
            new ProjectedLstm(rig.context, "", batch, timesteps, inputs, units, projection);
        dev.topknot.runtime.cpu.Matrix xOp = rig.rows(x);
        dev.topknot.runtime.cpu.Matrix wx = rig.buffers.floats(lstm.inputWeights());
        dev.topknot.runtime.cpu.Matrix wh = rig.buffers.floats(lstm.recurrentWeights());
        dev.topknot.runtime.cpu.Matrix wr = rig.buffers.floats(lstm.projection());
        dev.topknot.runtime.cpu.Matrix bias = rig.buffers.floats(lstm.bias());
        dev.topknot.runtime.cpu.Matrix h0Op = rig.buffers.floats(h0);
        dev.topknot.runtime.cpu.Matrix c0Op = rig.buffers.floats(c0);
        dev.topknot.runtime.cpu.Matrix gates = rig.rows(4 * units);
        dev.topknot.runtime.cpu.Matrix cells = rig.rows(units);
        dev.topknot.runtime.cpu.Matrix out = rig.rows(units);
        dev.topknot.runtime.cpu.Matrix h = rig.rows(projection);
        op.forward(rig.run, xOp, wx, wh, wr, bias, h0Op, c0Op, gates, cells, out, h);
        Close.check("h", h, valid, reference.y().resized(valid));

        dev.topknot.runtime.cpu.Matrix dhOp = rig.rows(dh);
        dev.topknot.runtime.cpu.Matrix dx = rig.rows(inputs);
        dev.topknot.runtime.cpu.Matrix dWx = rig.buffers.floats(4 * units, inputs);
        dev.topknot.runtime.cpu.Matrix dWh = rig.buffers.floats(4 * units, projection);
        dev.topknot.runtime.cpu.Matrix dWr = rig.buffers.floats(projection, units);
        dev.topknot.runtime.cpu.Matrix dBias = rig.buffers.floats(1, 4 * units);
        op.backward(
            rig.run, xOp, wx, wh, wr, h0Op, c0Op, gates, cells, out, h, dhOp, dx, dWx, dWh, dWr,
            dBias);
        Close.check("dx", dx, valid, gradients.x().resized(valid));
        Close.check("dInputWeights", dWx, gradients.get("inputWeights"));
        Close.check("dRecurrentWeights", dWh, gradients.get("recurrentWeights"));
        Close.check("dProjection", dWr, gradients.get("projection"));
        Close.check("dBias", dBias, gradients.get("bias"));
        op.commit(rig.run, cells, h, h0Op, c0Op);
        Close.check("carried h", h0Op, reference.h(valid));
        Close.check("carried c", c0Op, reference.c(valid));
        once = sameBits(once, h, dx, dWx, dWh, dWr, dBias);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 8, 40, RELU",
    "7, 5, 40, 8, GELU",
    "33, 33, 512, 40, SIGMOID",
    "33, 20, 40, 512, TANH",
    "7, 7, 8, 8, IDENTITY"
  })
  void dense(int tokens, int valid, int inputs, int units, ActivationFunction function) {
    Draw draw = new Draw(inputs + units);
    Matrix x = draw.normal(tokens, inputs, 1).rounded();
    Matrix dy = draw.normal(tokens, units, 1).rounded();
    Matrix weight = draw.weights(units, inputs).rounded();
    Matrix bias = draw.normal(1, units, 1).rounded();
    Pass reference =
        new dev.topknot.it.reference.Dense(weight, bias, Activation.valueOf(function.name()))
            .forward(x.resized(valid));
    Gradients gradients = reference.backward(dy.resized(valid));
    float[] once = null;
    for (int threads : THREADS) {
      try (OpRig rig = new OpRig(threads, tokens, valid)) {
        Dense op = new Dense(rig.context, "", tokens, inputs, units, function);
        dev.topknot.runtime.cpu.Matrix xOp = rig.rows(x);
        dev.topknot.runtime.cpu.Matrix w = rig.buffers.floats(weight);
        dev.topknot.runtime.cpu.Matrix y = rig.rows(units);
        dev.topknot.runtime.cpu.Matrix z =
            function == ActivationFunction.GELU ? rig.rows(units) : y;
        dev.topknot.runtime.cpu.Matrix dx = rig.rows(inputs);
        dev.topknot.runtime.cpu.Matrix dWeight = rig.buffers.floats(units, inputs);
        dev.topknot.runtime.cpu.Matrix dBias = rig.buffers.floats(1, units);
        op.forward(rig.run, xOp, w, rig.buffers.floats(bias), z, y);
        Close.check("y", y, valid, reference.y());
        op.backward(rig.run, xOp, w, z, rig.rows(dy), dx, dWeight, dBias);
        Close.check("dx", dx, valid, gradients.x());
        Close.check("dWeight", dWeight, gradients.get("weights"));
        Close.check("dBias", dBias, gradients.get("bias"));
        once = sameBits(once, dx, dWeight, dBias);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 8, IDENTITY, 0.25, true",
    "7, 5, 40, SIGMOID, 0.1, true",
    "33, 33, 512, GELU, 0.5, false",
    "33, 20, 40, TANH, 0, true",
    "7, 7, 8, RELU, 0.3, false"
  })
  void modifiers(
      int tokens,
      int valid,
      int width,
      ActivationFunction function,
      double dropout,
      boolean residual) {
    Draw draw = new Draw(width + tokens);
    int layer = 2;
    Matrix u = draw.normal(tokens, width, 1).rounded();
    Matrix x = draw.normal(tokens, width, 1).rounded();
    Matrix dy = draw.normal(tokens, width, 1).rounded();
    Matrix dx = draw.normal(tokens, width, 1).rounded();
    Matrix keep = keep(valid, width, (float) dropout, layer);
    Pass reference =
        new Modifiers(Activation.valueOf(function.name()), (float) dropout, residual)
            .forward(x.resized(valid), u.resized(valid), keep);
    for (int threads : THREADS) {
      try (OpRig rig = new OpRig(threads, tokens, valid)) {
        Pointwise op =
            new Pointwise(rig.context, "", tokens, width, function, dropout, residual, layer);
        dev.topknot.runtime.cpu.Matrix uOp = rig.rows(u);
        dev.topknot.runtime.cpu.Matrix dyOp = rig.rows(dy);
        dev.topknot.runtime.cpu.Matrix dxOp = rig.rows(dx);
        dev.topknot.runtime.cpu.Matrix y = rig.rows(width);
        dev.topknot.runtime.cpu.Matrix du = rig.rows(width);
        op.forward(rig.run, uOp, rig.rows(x), y);
        op.backward(rig.run, uOp, dyOp, du);
        op.addResidual(rig.run, dyOp, dxOp);
        Close.check("y", y, valid, reference.y());
        Close.check("du", du, valid, reference.backward(dy.resized(valid)).x());
        Close.check("dx", dxOp, valid, dx.plus(dy).resized(valid));
      }
    }
  }

  /**
   * The mask as it is specified: a value is kept where its uniform number is not below the rate.
   */
  private static Matrix keep(int tokens, int width, float dropout, int layer) {
    Matrix keep = Matrix.zeros(tokens, width);
    int stream = Noise.stream(layer, Noise.Purpose.DROPOUT, 0);
    float[] uniform = new float[width];
    for (int t = 0; t < tokens; t++) {
      Noise.uniforms(OpRig.SEED, OpRig.STEP, t, stream, uniform, 0, width);
      for (int j = 0; j < width; j++) {
        keep.set(t, j, uniform[j] >= dropout ? 1 : 0);
      }
    }
    return keep;
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 8, 11", "7, 5, 40, 1000", "33, 33, 512, 77", "33, 20, 8, 5003"})
  void softmaxLoss(int tokens, int valid, int width, int vocabulary) {
    Draw draw = new Draw(vocabulary);
    Matrix x = draw.normal(tokens, width, 1).rounded();
    Matrix weight = draw.normal(vocabulary, width, 1).rounded();
    Matrix bias = draw.normal(1, vocabulary, 1).rounded();
    int[] targets = draw.ids(tokens, vocabulary);
    dev.topknot.it.reference.SoftmaxLoss.Forward reference =
        new dev.topknot.it.reference.SoftmaxLoss(weight, bias)
            .forward(x.resized(valid), Arrays.copyOf(targets, valid));
    Gradients gradients = reference.backward();
    float[] once = null;
    for (int threads : THREADS) {
      try (OpRig rig = new OpRig(threads, tokens, valid)) {
        Arrays.fill(targets, valid, tokens, -1);
        SoftmaxLoss op = new SoftmaxLoss(rig.context, "", tokens, width, vocabulary);
        dev.topknot.runtime.cpu.Matrix xOp = rig.rows(x);
        dev.topknot.runtime.cpu.Matrix w = rig.buffers.floats(weight);
        dev.topknot.runtime.cpu.Matrix b = rig.buffers.floats(bias);
        dev.topknot.runtime.cpu.Matrix logits = rig.rows(vocabulary);
        op.probabilities(rig.run, xOp, w, b, logits);
        Close.check("probabilities", logits, valid, reference.probabilities());

        Ints targetsOp = rig.buffers.ints(targets);
        dev.topknot.runtime.cpu.Matrix losses = rig.buffers.floats(1, tokens);
        op.forward(rig.run, xOp, w, b, targetsOp, logits, losses);
        assertThat(rig.run.lossSum() / valid / reference.meanLoss())
            .isBetween(1 - Close.TOLERANCE, 1 + Close.TOLERANCE);
        dev.topknot.runtime.cpu.Matrix dx = rig.rows(width);
        dev.topknot.runtime.cpu.Matrix dWeight = rig.buffers.floats(vocabulary, width);
        dev.topknot.runtime.cpu.Matrix dBias = rig.buffers.floats(1, vocabulary);
        op.backward(rig.run, xOp, w, logits, targetsOp, dx, dWeight, dBias);
        Close.check("dx", dx, valid, gradients.x());
        Close.check("dWeight", dWeight, gradients.get("weights"));
        Close.check("dBias", dBias, gradients.get("bias"));
        once = sameBits(once, dx, dWeight, dBias);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 8, 2, 1",
    "7, 5, 8, 3, 1",
    "1, 1, 8, 11, 10",
    "7, 5, 40, 1000, 30",
    "33, 33, 512, 77, 76",
    "33, 20, 8, 5003, 1024",
    "300, 300, 24, 40, 7"
  })
  void sampledSoftmaxLoss(int tokens, int valid, int width, int vocabulary, int samples) {
    Draw draw = new Draw(vocabulary);
    Matrix x = draw.normal(tokens, width, 1).rounded();
    Matrix weight = draw.normal(vocabulary, width, 1).rounded();
    Matrix bias = draw.normal(1, vocabulary, 1).rounded();
    int[] targets = draw.ids(tokens, vocabulary);
    LogUniform law = new LogUniform(vocabulary);
    int[] candidates = new int[samples];
    int layer = 4;
    int stream = Noise.stream(layer, Noise.Purpose.SAMPLE, 0);
    law.draw(OpRig.SEED, OpRig.STEP, 0, stream, candidates);
    if (samples == 1) {
      Arrays.fill(targets, candidates[0]); // so that nothing is left beside the target
    }
    dev.topknot.it.reference.SampledSoftmaxLoss.Forward reference =
        new dev.topknot.it.reference.SampledSoftmaxLoss(
                weight,
                bias,
                Arrays.stream(candidates).boxed().toList(),
                id -> samples * law.probability(id),
                Products.EXACT)
            .forward(x.resized(valid), Arrays.copyOf(targets, valid));
    Gradients gradients = reference.backward();
    int classes = Math.min(samples + tokens, vocabulary);
    float[] once = null;
    for (int threads : THREADS) {
      try (OpRig rig = new OpRig(threads, tokens, valid)) {
        Arrays.fill(targets, valid, tokens, -1);
        SampledSoftmaxLoss op =
            new SampledSoftmaxLoss(rig.context, "", tokens, width, vocabulary, samples, layer);
        dev.topknot.runtime.cpu.Matrix xOp = rig.rows(x);
        dev.topknot.runtime.cpu.Matrix w = rig.buffers.floats(weight);
        dev.topknot.runtime.cpu.Matrix b = rig.buffers.floats(bias);
        Ints ids = rig.buffers.ints(classes);
        Ints count = rig.buffers.ints(1);
        dev.topknot.runtime.cpu.Matrix rows = rig.buffers.floats(classes, width);
        dev.topknot.runtime.cpu.Matrix logits = rig.rows(classes);
        dev.topknot.runtime.cpu.Matrix losses = rig.buffers.floats(1, tokens);
        Ints targetsOp = rig.buffers.ints(targets);
        dev.topknot.runtime.cpu.Matrix dx = rig.rows(width);
        dev.topknot.runtime.cpu.Matrix dWeight = rig.buffers.floats(vocabulary, width);
        dev.topknot.runtime.cpu.Matrix dBias = rig.buffers.floats(1, vocabulary);
        for (boolean add : new boolean[] {false, true}) {
          op.forward(rig.run, xOp, w, b, targetsOp, ids, count, rows, logits, losses);
          assertThat(rig.run.lossSum() / valid)
              .isCloseTo(reference.meanLoss(), withinPercentage(100 * Close.TOLERANCE));
          CpuAccess.add(rig.run, add);
          op.backward(rig.run, xOp, ids, count, rows, logits, dx, dWeight, dBias);
          closeOrZero("dx", Buffers.read(dx, valid), gradients.x());
          double scale = add ? 2 : 1;
          closeOrZero("dWeight", Buffers.read(dWeight), gradients.get("weights").scaled(scale));
          closeOrZero("dBias", Buffers.read(dBias), gradients.get("bias").scaled(scale));
        }
        once = sameBits(once, dx, dWeight, dBias, losses);
      }
    }
  }

  /** Where every candidate is the target, gradients are exactly zero. */
  private static void closeOrZero(String name, Matrix actual, Matrix reference) {
    if (Arrays.stream(reference.data()).allMatch(it -> it == 0)) {
      assertThat(actual.data()).as(name).containsOnly(0);
    } else {
      Close.check(name, actual, reference);
    }
  }

  /** The only expert of a layer. */
  @ParameterizedTest
  @CsvSource({
    "1, 1, 8, 40, RELU",
    "7, 5, 40, 8, GELU",
    "33, 33, 512, 40, SIGMOID",
    "33, 20, 40, 512, TANH",
    "7, 7, 8, 8, IDENTITY",
    "33, 33, 40, 12, SWIGLU",
    "7, 5, 512, 33, SWIGLU"
  })
  void feedForward(int tokens, int valid, int width, int hidden, ActivationFunction activation) {
    Draw draw = new Draw(width);
    Matrix x = draw.normal(tokens, width, 1).rounded();
    Matrix dy = draw.normal(tokens, width, 1).rounded();
    Expert expert = draw.experts(1, activation.name(), width, hidden).get(0);
    expert.weights().values().forEach(w -> Arrays.setAll(w.data(), i -> (float) w.data()[i]));
    Pass reference = expert.forward(x.resized(valid));
    Gradients gradients = reference.backward(dy.resized(valid));
    float[] once = null;
    for (int threads : THREADS) {
      try (OpRig rig = new OpRig(threads, tokens, valid)) {
        dev.topknot.runtime.cpu.Matrix xOp = rig.rows(x);
        dev.topknot.runtime.cpu.Matrix y = rig.rows(width);
        dev.topknot.runtime.cpu.Matrix dx = rig.rows(width);
        dev.topknot.runtime.cpu.Matrix dW1 = rig.buffers.floats(hidden, width);
        dev.topknot.runtime.cpu.Matrix dW2 = rig.buffers.floats(width, hidden);
        Map<String, Matrix> weights = expert.weights();
        dev.topknot.runtime.cpu.Matrix w1 = rig.buffers.floats(weights.get("w1"));
        dev.topknot.runtime.cpu.Matrix w2 = rig.buffers.floats(weights.get("w2"));
        dev.topknot.runtime.cpu.Matrix h = rig.rows(hidden);
        dev.topknot.runtime.cpu.Matrix dh = rig.rows(hidden);
        dev.topknot.runtime.cpu.Matrix dyOp = rig.rows(dy);
        if (activation == ActivationFunction.SWIGLU) {
          SwigluFeedForward op = new SwigluFeedForward(rig.context, "", tokens, width, hidden);
          dev.topknot.runtime.cpu.Matrix w3 = rig.buffers.floats(weights.get("w3"));
          dev.topknot.runtime.cpu.Matrix dW3 = rig.buffers.floats(hidden, width);
          dev.topknot.runtime.cpu.Matrix u = rig.rows(hidden);
          dev.topknot.runtime.cpu.Matrix v = rig.rows(hidden);
          dev.topknot.runtime.cpu.Matrix dv = rig.rows(hidden);
          op.forward(rig.run, xOp, w1, w2, w3, u, v, h, y);
          op.backward(rig.run, xOp, w1, w2, w3, u, v, dyOp, h, dh, dv, dx, dW1, dW2, dW3);
          Close.check("dW3", dW3, gradients.get("w3"));
        } else {
          FeedForward op = new FeedForward(rig.context, "", tokens, width, hidden, activation);
          op.forward(rig.run, xOp, w1, w2, h, y);
          op.backward(rig.run, xOp, w1, w2, h, dyOp, dh, dx, dW1, dW2);
        }
        Close.check("y", y, valid, reference.y());
        Close.check("dx", dx, valid, gradients.x());
        Close.check("dW1", dW1, gradients.get("w1"));
        Close.check("dW2", dW2, gradients.get("w2"));
        once = sameBits(once, y, dx, dW1, dW2);
      }
    }
  }

  /** Gradients of two calls are summed where the run says so. */
  @ParameterizedTest
  @CsvSource({"33, 40, 12", "7, 8, 512"})
  void accumulated(int tokens, int width, int units) {
    Draw draw = new Draw(units);
    Matrix x = draw.normal(tokens, width, 1).rounded();
    Matrix dy = draw.normal(tokens, units, 1).rounded();
    Matrix weight = draw.weights(units, width).rounded();
    try (OpRig rig = new OpRig(2, tokens, tokens)) {
      Dense op = new Dense(rig.context, "", tokens, width, units, ActivationFunction.IDENTITY);
      dev.topknot.runtime.cpu.Matrix xOp = rig.rows(x);
      dev.topknot.runtime.cpu.Matrix w = rig.buffers.floats(weight);
      dev.topknot.runtime.cpu.Matrix y = rig.rows(units);
      dev.topknot.runtime.cpu.Matrix dx = rig.rows(width);
      dev.topknot.runtime.cpu.Matrix dWeight = rig.buffers.floats(units, width);
      dev.topknot.runtime.cpu.Matrix dBias = rig.buffers.floats(1, units);
      op.forward(rig.run, xOp, w, rig.buffers.floats(Matrix.zeros(1, units)), y, y);
      for (boolean add : new boolean[] {false, true}) {
        CpuAccess.add(rig.run, add);
        op.backward(rig.run, xOp, w, y, rig.rows(dy), dx, dWeight, dBias);
      }
      Close.check("dWeight", dWeight, dy.transposedTimes(x).scaled(2));
      Close.check("dBias", dBias, dy.columnSums().scaled(2));
    }
  }

  /** Checks that the results have the bits of those before, if there were any. */
  private static float[] sameBits(float[] before, dev.topknot.runtime.cpu.Matrix... results) {
    int size = Arrays.stream(results).mapToInt(m -> Math.toIntExact(m.size())).sum();
    float[] all = new float[size];
    int at = 0;
    for (dev.topknot.runtime.cpu.Matrix m : results) {
      float[] part = Buffers.floats(m);
      System.arraycopy(part, 0, all, at, part.length);
      at += part.length;
    }
    assertThat(before == null || Arrays.equals(before, all)).as("same bits").isTrue();
    return all;
  }
}
