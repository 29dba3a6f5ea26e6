package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.Kernels.assertClose;
import static dev.topknot.it.cuda.Kernels.ceil;
import static dev.topknot.it.cuda.Kernels.random;
import static dev.topknot.it.cuda.Reference.doubles;

import dev.topknot.dsl.ActivationFunction;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The kernels of dense and feed-forward layers and of the softmax, in any shape. */
@Tag("emulator")
class DenseKernelsTest {
  private static final int SHARED = 17408;

  @ParameterizedTest
  @CsvSource({
    "70, 70, 33, 129, GELU, false",
    "130, 129, 64, 64, RELU, true",
    "5, 1, 1, 3, TANH, true",
    "9, 9, 20, 68, SIGMOID, false",
    "3, 0, 8, 8, IDENTITY, false",
    "3, 0, 8, 8, IDENTITY, true",
  })
  void dense(int tokens, int valid, int inputs, int units, ActivationFunction f, boolean add) {
    float[] x = random(1, tokens * inputs, 1);
    float[] w = random(2, units * inputs, 1);
    float[] b = random(3, units, 1);
    float[] dy = random(4, tokens * units, 1);
    float[] before = random(5, units * inputs, 1);
    double[] z = Reference.nt(doubles(x), doubles(w), valid, units, inputs);
    double[] y = new double[z.length];
    double[] dz = new double[z.length];
    for (int i = 0; i < z.length; i++) {
      z[i] += b[i % units];
      y[i] = Reference.activate(f, z[i]);
      dz[i] = dy[i] * Reference.slope(f, z[i]);
    }
    boolean keeps = f == ActivationFunction.GELU;
    String source =
        """
            #include "topknot/dense.cuh"
            struct S {
              using Tile = Fp32Tile;
              static constexpr int TOKENS = %d, INPUTS = %d, UNITS = %d;
              static constexpr Activation ACTIVATION = %s;
            };
            TOPKNOT_DENSE(op, S)
            """
            .formatted(tokens, inputs, units, f);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            tokens == 9,
            k -> {
              long run = k.run(valid, true, add, 0, false);
              long xs = k.floats(x);
              long ws = k.floats(w);
              long ys = k.empty((long) tokens * units);
              long zs = keeps ? k.empty((long) tokens * units) : ys;
              int rows = ceil(tokens, 64);
              k.launch(
                  "op_forward_output",
                  rows,
                  ceil(units, 64),
                  1,
                  256,
                  SHARED,
                  run,
                  xs,
                  ws,
                  k.floats(b),
                  zs,
                  ys);
              k.result("y", ys, tokens * units);
              long dys = k.floats(dy);
              long dx = k.empty((long) tokens * inputs);
              long dw = k.floats(before);
              long db = k.floats(b);
              k.launch("op_backward_slope", ceil(tokens * units, 1024), 1, 1, 256, 0, run, zs, dys);
              k.launch(
                  "op_backward_input", rows, ceil(inputs, 64), 1, 256, SHARED, run, dys, ws, dx);
              k.launch(
                  "op_backward_weight",
                  ceil(units, 64),
                  ceil(inputs, 64),
                  1,
                  256,
                  SHARED,
                  run,
                  dys,
                  xs,
                  dw);
              k.launch("op_backward_bias", ceil(units, 32), 1, 1, 256, 1024, run, dys, db);
              k.result("dx", dx, tokens * inputs);
              k.result("dw", dw, units * inputs);
              k.result("db", db, units);
            });
    assertClose("y", results.get("y"), y);
    assertClose("dx", results.get("dx"), Reference.nn(dz, doubles(w), valid, inputs, units));
    double[] dw = Reference.tn(dz, doubles(x), units, inputs, valid);
    double[] db = Reference.columnSums(dz, valid, units);
    assertClose("dw", results.get("dw"), add ? Reference.add(dw, doubles(before)) : dw);
    assertClose("db", results.get("db"), add ? Reference.add(db, doubles(b)) : db);
  }

  @ParameterizedTest
  @CsvSource({
    "70, 67, 33, 129, GELU, true",
    "65, 65, 64, 20, RELU, false",
    "2, 0, 4, 4, TANH, false",
    "150, 135, 136, 40, RELU, true", // all that follow: the wide tile as well
    "130, 130, 40, 264, GELU, false",
    "1, 1, 8, 8, SIGMOID, false"
  })
  void feedForward(
      int tokens, int valid, int width, int hidden, ActivationFunction f, boolean add) {
    float[] x = random(1, tokens * width, 1);
    float[] w1 = random(2, hidden * width, 0.5);
    float[] w2 = random(3, hidden * width, 0.5);
    float[] dy = random(4, tokens * width, 1);
    float[] before = random(5, hidden * width, 1);
    double[] z = Reference.nt(doubles(x), doubles(w1), valid, hidden, width);
    double[] a = new double[z.length];
    double[] d = Reference.nn(doubles(dy), doubles(w2), valid, hidden, width);
    for (int i = 0; i < z.length; i++) {
      a[i] = Reference.activate(f, z[i]);
      d[i] *= Reference.slope(f, z[i]);
    }
    boolean keeps = f == ActivationFunction.GELU;
    String source =
        """
            #include "topknot/feed_forward.cuh"
            struct S {
              using Tile = Fp32Tile;
              static constexpr int TOKENS = %d, WIDTH = %d, HIDDEN = %d;
              static constexpr Activation ACTIVATION = %s;
            };
            TOPKNOT_FEED_FORWARD(op, S)
            """
            .formatted(tokens, width, hidden, f);
    int rows = ceil(tokens, 64);
    int wide = ceil(width, 64);
    int deep = ceil(hidden, 64);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            width % 8 == 0 && hidden % 8 == 0,
            tokens == 1,
            k -> {
              long run = k.run(valid, true, add, 0, false);
              long xs = k.rounded(run, "op_forward_round", tokens * width, k.floats(x))[0];
              long w1s = k.floats(w1);
              long w2s = k.floats(w2);
              long kept = k.empty((long) tokens * hidden);
              boolean apart = keeps || k.wide();
              long act = apart ? k.empty((long) tokens * hidden) : kept;
              long y = k.empty((long) tokens * width);
              long dHidden = k.empty((long) tokens * hidden);
              long dx = k.empty((long) tokens * width);
              long dw1 = k.floats(before);
              long dw2 = k.floats(before);
              k.launch("op_forward_hidden", rows, deep, 1, 256, SHARED, run, xs, w1s, kept, act);
              k.launch("op_forward_output", rows, wide, 1, 256, SHARED, run, act, w2s, y);
              long again = apart ? k.empty((long) tokens * hidden) : kept;
              long[] both =
                  k.rounded(run, "op_backward_round", tokens * width, k.floats(x), k.floats(dy));
              long xsAgain = both[0];
              long dys = both[1];
              k.launch(
                  "op_backward_hidden",
                  rows,
                  deep,
                  1,
                  256,
                  SHARED,
                  run,
                  dys,
                  w2s,
                  kept,
                  dHidden,
                  again);
              k.launch("op_backward_input", rows, wide, 1, 256, SHARED, run, dHidden, w1s, dx);
              k.launch("op_backward_w1", deep, wide, 1, 256, SHARED, run, dHidden, xsAgain, dw1);
              k.launch("op_backward_w2", wide, deep, 1, 256, SHARED, run, dys, again, dw2);
              k.result("y", y, tokens * width);
              k.result("dx", dx, tokens * width);
              k.result("dw1", dw1, hidden * width);
              k.result("dw2", dw2, hidden * width);
            });
    assertClose("y", results.get("y"), Reference.nt(a, doubles(w2), valid, width, hidden));
    assertClose("dx", results.get("dx"), Reference.nn(d, doubles(w1), valid, width, hidden));
    double[] dw1 = Reference.tn(d, doubles(x), hidden, width, valid);
    double[] dw2 = Reference.tn(doubles(dy), a, width, hidden, valid);
    assertClose("dw1", results.get("dw1"), add ? Reference.add(dw1, doubles(before)) : dw1);
    assertClose("dw2", results.get("dw2"), add ? Reference.add(dw2, doubles(before)) : dw2);
  }

  @ParameterizedTest
  @CsvSource({"67, 66, 33, 131, 1", "3, 3, 8, 1, 1", "5, 0, 4, 300, 1", "4, 4, 8, 600, 128"})
  void softmaxLoss(int tokens, int valid, int width, int vocabulary, double scale) {
    float[] x = random(1, tokens * width, 1);
    float[] w = random(2, vocabulary * width, scale);
    float[] b = random(3, vocabulary, 1);
    int[] targets = new int[tokens];
    for (int i = 0; i < tokens; i++) {
      targets[i] = i * 31 % vocabulary;
    }
    double[] z = Reference.nt(doubles(x), doubles(w), valid, vocabulary, width);
    double[] losses = new double[valid];
    double[] softmax = new double[z.length];
    double[] dz = new double[z.length];
    for (int i = 0; i < valid; i++) {
      double largest = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < vocabulary; j++) {
        z[i * vocabulary + j] += b[j];
        largest = Math.max(largest, z[i * vocabulary + j]);
      }
      double sum = 0;
      for (int j = 0; j < vocabulary; j++) {
        sum += Math.exp(z[i * vocabulary + j] - largest);
      }
      losses[i] = Math.log(sum) + largest - z[i * vocabulary + targets[i]];
      for (int j = 0; j < vocabulary; j++) {
        int at = i * vocabulary + j;
        softmax[at] = Math.exp(z[at] - largest) / sum;
        dz[at] = (softmax[at] - (j == targets[i] ? 1 : 0)) / valid;
      }
    }
    String source =
        """
            #include "topknot/softmax_loss.cuh"
            struct S {
              using Tile = Fp32Tile;
              static constexpr int TOKENS = %d, WIDTH = %d, VOCABULARY = %d;
            };
            TOPKNOT_SOFTMAX_LOSS(op, S)
            """
            .formatted(tokens, width, vocabulary);
    int rows = ceil(tokens, 64);
    int columns = ceil(vocabulary, 64);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            tokens == 3,
            k -> {
              long train = k.run(valid, true, false, 0, false);
              long evaluate = k.run(valid, false, false, 0, false);
              long xs = k.floats(x);
              long ws = k.floats(w);
              long bs = k.floats(b);
              long logits = k.empty((long) tokens * vocabulary);
              long loss = k.empty(tokens);
              long evaluated = k.empty(tokens);
              long ts = k.ints(targets);
              for (String last : new String[] {"evaluate", "probabilities", "train"}) {
                k.launch(
                    "op_forward_logits", rows, columns, 1, 256, SHARED, train, xs, ws, bs, logits);
                switch (last) {
                  case "evaluate" ->
                      k.launch(
                          "op_forward_loss",
                          tokens,
                          1,
                          1,
                          256,
                          64,
                          evaluate,
                          ts,
                          logits,
                          evaluated);
                  case "probabilities" ->
                      k.launch("op_probabilities_softmax", tokens, 1, 1, 256, 64, train, logits);
                  default ->
                      k.launch("op_forward_loss", tokens, 1, 1, 256, 64, train, ts, logits, loss);
                }
                k.result(last, logits, tokens * vocabulary);
              }
              long dx = k.empty((long) tokens * width);
              long dw = k.empty((long) vocabulary * width);
              long db = k.empty(vocabulary);
              k.launch(
                  "op_backward_input",
                  rows,
                  ceil(width, 64),
                  1,
                  256,
                  SHARED,
                  train,
                  logits,
                  ws,
                  dx);
              k.launch(
                  "op_backward_weight",
                  columns,
                  ceil(width, 64),
                  1,
                  256,
                  SHARED,
                  train,
                  logits,
                  xs,
                  dw);
              k.launch(
                  "op_backward_bias", ceil(vocabulary, 32), 1, 1, 256, 1024, train, logits, db);
              k.result("losses", loss, tokens);
              k.result("evaluated", evaluated, tokens);
              k.result("dx", dx, tokens * width);
              k.result("dw", dw, vocabulary * width);
              k.result("db", db, vocabulary);
            });
    assertClose("logits", results.get("evaluate"), z);
    assertClose("probabilities", results.get("probabilities"), softmax, scale);
    assertClose("dz", results.get("train"), dz, scale);
    assertClose("losses", results.get("losses"), losses, scale);
    assertClose("evaluated", results.get("evaluated"), losses, scale);
    assertClose(
        "dx", results.get("dx"), Reference.nn(dz, doubles(w), valid, width, vocabulary), scale);
    assertClose(
        "dw", results.get("dw"), Reference.tn(dz, doubles(x), vocabulary, width, valid), scale);
    assertClose("db", results.get("db"), Reference.columnSums(dz, valid, vocabulary), scale);
  }
}
