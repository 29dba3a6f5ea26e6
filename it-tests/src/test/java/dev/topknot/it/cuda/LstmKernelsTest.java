package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.Kernels.assertClose;
import static dev.topknot.it.cuda.Kernels.ceil;
import static dev.topknot.it.cuda.Kernels.random;
import static dev.topknot.it.cuda.Reference.doubles;
import static dev.topknot.it.cuda.Reference.sigmoid;
import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.reference.Gradients;
import dev.topknot.it.reference.Lstm;
import dev.topknot.it.reference.Matrix;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The kernels of a recurrent layer: any shape, and batches of which the last step is partial. */
@Tag("emulator")
class LstmKernelsTest {
  private static final int SHARED = 17408;
  private static final int STEP_SHARED = 18432;

  @ParameterizedTest
  @CsvSource({
    // batch, timesteps, valid, inputs, units, add
    "3, 4, 12, 20, 33, false",
    "34, 3, 80, 13, 12, true",
    "2, 3, 3, 5, 7, false",
    "1, 1, 1, 4, 4, false",
    "4, 3, 2, 8, 64, false",
    "4, 3, 0, 8, 8, false",
  })
  void lstm(int batch, int timesteps, int valid, int inputs, int units, boolean add) {
    int tokens = batch * timesteps;
    int u = units;
    float[] x = random(1, tokens * inputs, 1);
    float[] wx = random(2, 4 * u * inputs, 0.5);
    float[] wh = random(3, 4 * u * u, 0.5);
    float[] bias = random(4, 4 * u, 1);
    float[] h0 = random(5, batch * u, 1);
    float[] c0 = random(6, batch * u, 1);
    float[] dh = random(7, tokens * u, 1);
    float[] before = random(8, 4 * u * Math.max(u, inputs), 1);

    double[] z = Reference.nt(doubles(x), doubles(wx), valid, 4 * u, inputs);
    double[] gates = new double[valid * 4 * u];
    double[] cells = new double[valid * u];
    double[] h = new double[valid * u];
    double[] hBefore = new double[valid * u];
    double[] cBefore = new double[valid * u];
    for (int row = 0; row < valid; row++) {
      for (int j = 0; j < u; j++) {
        boolean first = row < batch;
        hBefore[row * u + j] = first ? h0[row * u + j] : h[(row - batch) * u + j];
        cBefore[row * u + j] = first ? c0[row * u + j] : cells[(row - batch) * u + j];
      }
      for (int j = 0; j < 4 * u; j++) {
        double sum = z[row * 4 * u + j] + bias[j];
        for (int l = 0; l < u; l++) {
          sum += hBefore[row * u + l] * wh[j * u + l];
        }
        gates[row * 4 * u + j] = j / u == 2 ? Math.tanh(sum) : sigmoid(sum);
      }
      for (int j = 0; j < u; j++) {
        int g = row * 4 * u + j;
        cells[row * u + j] = gates[g + u] * cBefore[row * u + j] + gates[g] * gates[g + 2 * u];
        h[row * u + j] = gates[g + 3 * u] * Math.tanh(cells[row * u + j]);
      }
    }
    double[] dz = new double[valid * 4 * u];
    double[] dc = new double[(valid + batch) * u];
    for (int row = valid - 1; row >= 0; row--) {
      for (int j = 0; j < u; j++) {
        double d = dh[row * u + j];
        if (row + batch < valid) {
          for (int l = 0; l < 4 * u; l++) {
            d += dz[(row + batch) * 4 * u + l] * wh[l * u + j];
          }
        }
        int g = row * 4 * u + j;
        double in = gates[g];
        double forget = gates[g + u];
        double value = gates[g + 2 * u];
        double out = gates[g + 3 * u];
        double t = Math.tanh(cells[row * u + j]);
        double cell = dc[(row + batch) * u + j] + d * out * (1 - t * t);
        dz[g] = cell * value * in * (1 - in);
        dz[g + u] = cell * cBefore[row * u + j] * forget * (1 - forget);
        dz[g + 2 * u] = cell * in * (1 - value * value);
        dz[g + 3 * u] = d * t * out * (1 - out);
        dc[row * u + j] = cell * forget;
      }
    }

    String source =
        """
            #include "topknot/lstm.cuh"
            struct S {
              using Tile = Fp32Tile;
              static constexpr int BATCH = %d, TIMESTEPS = %d, INPUTS = %d, UNITS = %d;
            };
            TOPKNOT_LSTM(op, S)
            """
            .formatted(batch, timesteps, inputs, u);
    int rows = ceil(tokens, 64);
    int wide = ceil(4 * u, 64);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            batch == 1,
            k -> {
              long run = k.run(valid, true, add, 1, false); // a status that guards nothing
              long xs = k.floats(x);
              long wxs = k.floats(wx);
              long whs = k.floats(wh);
              long bs = k.floats(bias);
              long h0s = k.floats(h0);
              long c0s = k.floats(c0);
              long dhs = k.floats(dh);
              long gs = k.empty(tokens * 4L * u);
              long cs = k.empty((long) tokens * u);
              long hs = k.empty((long) tokens * u);
              k.launch("op_forward_input", rows, wide, 1, 256, SHARED, run, xs, wxs, bs, gs);
              for (int t = 0; t < timesteps; t++) {
                k.launch(
                    "op_forward_step",
                    ceil(batch, 32),
                    ceil(4 * u, 32),
                    1,
                    128,
                    STEP_SHARED,
                    run,
                    whs,
                    h0s,
                    c0s,
                    gs,
                    cs,
                    hs,
                    t);
              }
              k.result("gates", gs, tokens * 4 * u);
              k.result("cells", cs, tokens * u);
              k.result("h", hs, tokens * u);
              long dcs = k.empty((long) batch * u);
              for (int t = timesteps - 1; t >= 0; t--) {
                k.launch(
                    "op_backward_step",
                    ceil(batch, 32),
                    ceil(u, 32),
                    1,
                    128,
                    STEP_SHARED,
                    run,
                    whs,
                    c0s,
                    cs,
                    dhs,
                    gs,
                    dcs,
                    t);
              }
              long dx = k.empty((long) tokens * inputs);
              long dwx = k.floats(before);
              long dwh = k.floats(before);
              long db = k.floats(bias);
              k.launch(
                  "op_backward_input", rows, ceil(inputs, 64), 1, 256, SHARED, run, gs, wxs, dx);
              k.launch("op_backward_wx", wide, ceil(inputs, 64), 1, 256, SHARED, run, gs, xs, dwx);
              k.launch("op_backward_wh", wide, ceil(u, 64), 1, 256, SHARED, run, gs, h0s, hs, dwh);
              k.launch("op_backward_bias", ceil(4 * u, 32), 1, 1, 256, 1024, run, gs, db);
              k.result("dz", gs, tokens * 4 * u);
              k.result("dx", dx, tokens * inputs);
              k.result("dwx", dwx, 4 * u * inputs);
              k.result("dwh", dwh, 4 * u * u);
              k.result("db", db, 4 * u);
              long failed = k.run(valid, true, add, 1, true);
              int blocks = ceil(batch * u, 256);
              k.launch("op_commit_state", blocks, 1, 1, 256, 0, failed, cs, hs, h0s, c0s);
              k.result("h0 after a failure", h0s, batch * u);
              k.launch("op_commit_state", blocks, 1, 1, 256, 0, run, cs, hs, h0s, c0s);
              k.result("h0", h0s, batch * u);
              k.result("c0", c0s, batch * u);
            });
    assertClose("gates", results.get("gates"), gates);
    assertClose("cells", results.get("cells"), cells);
    assertClose("h", results.get("h"), h);
    assertClose("dz", results.get("dz"), dz);
    assertClose("dx", results.get("dx"), Reference.nn(dz, doubles(wx), valid, inputs, 4 * u));
    double[] dwx = Reference.tn(dz, doubles(x), 4 * u, inputs, valid);
    double[] dwh = Reference.tn(dz, hBefore, 4 * u, u, valid);
    double[] db = Reference.columnSums(dz, valid, 4 * u);
    double[] start = doubles(before);
    assertClose("dwx", results.get("dwx"), add ? Reference.add(dwx, start) : dwx);
    assertClose("dwh", results.get("dwh"), add ? Reference.add(dwh, start) : dwh);
    assertClose("db", results.get("db"), add ? Reference.add(db, doubles(bias)) : db);
    assertThat(results.get("h0 after a failure")).isEqualTo(h0);
    assertThat(results.get("h0")).isEqualTo(carried(h0, results.get("h"), batch, valid));
    assertThat(results.get("c0")).isEqualTo(carried(c0, results.get("cells"), batch, valid));
  }

  @ParameterizedTest
  @CsvSource({
    // batch, timesteps, valid, inputs, units, projection, add
    "3, 4, 12, 20, 33, 20, false",
    "34, 3, 80, 13, 12, 5, true",
    "2, 3, 3, 5, 7, 6, false",
    "1, 1, 1, 4, 4, 1, false",
    "4, 3, 2, 8, 70, 64, false",
    "4, 3, 0, 8, 8, 4, false",
  })
  void projected(
      int batch, int timesteps, int valid, int inputs, int units, int projection, boolean add) {
    int tokens = batch * timesteps;
    int u = units;
    int p = projection;
    float[] x = random(1, tokens * inputs, 1);
    float[] wx = random(2, 4 * u * inputs, 0.5);
    float[] wh = random(3, 4 * u * p, 0.5);
    float[] wr = random(9, p * u, 0.5);
    float[] bias = random(4, 4 * u, 1);
    float[] h0 = random(5, batch * p, 1);
    float[] c0 = random(6, batch * u, 1);
    float[] dh = random(7, tokens * p, 1);
    float[] before = random(8, 4 * u * Math.max(p, inputs), 1);

    Lstm.Forward reference =
        new Lstm(
                Matrix.of(4 * u, inputs, wx),
                Matrix.of(4 * u, p, wh),
                Matrix.of(1, 4 * u, bias),
                Matrix.of(p, u, wr))
            .forward(
                Matrix.of(tokens, inputs, x), Matrix.of(batch, p, h0), Matrix.of(batch, u, c0));
    Gradients gradients =
        reference.backward(Matrix.of(tokens, p, dh).resized(valid).resized(tokens));

    String source =
        """
            #include "topknot/projected_lstm.cuh"
            struct S {
              using Tile = Fp32Tile;
              static constexpr int BATCH = %d, TIMESTEPS = %d, INPUTS = %d, UNITS = %d;
              static constexpr int PROJECTION = %d;
            };
            TOPKNOT_PROJECTED_LSTM(op, S)
            """
            .formatted(batch, timesteps, inputs, u, p);
    int rows = ceil(tokens, 64);
    int wide = ceil(4 * u, 64);
    int few = ceil(batch, 32);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            batch == 1,
            k -> {
              long run = k.run(valid, true, add, 1, false); // a status that guards nothing
              long xs = k.floats(x);
              long wxs = k.floats(wx);
              long whs = k.floats(wh);
              long wrs = k.floats(wr);
              long bs = k.floats(bias);
              long h0s = k.floats(h0);
              long c0s = k.floats(c0);
              long dhs = k.floats(dh);
              long gs = k.empty(tokens * 4L * u);
              long cs = k.empty((long) tokens * u);
              long os = k.empty((long) tokens * u);
              long hs = k.empty((long) tokens * p);
              k.launch("op_forward_input", rows, wide, 1, 256, SHARED, run, xs, wxs, bs, gs);
              int gateTiles = ceil(4 * u, 32);
              int outTiles = ceil(p, 32);
              for (int t = 0; t < timesteps; t++) {
                k.launch(
                    "op_forward_step",
                    few,
                    gateTiles,
                    1,
                    128,
                    STEP_SHARED,
                    run,
                    whs,
                    h0s,
                    c0s,
                    gs,
                    cs,
                    os,
                    hs,
                    t);
                k.launch(
                    "op_forward_projection",
                    few,
                    outTiles,
                    1,
                    128,
                    STEP_SHARED,
                    run,
                    wrs,
                    os,
                    hs,
                    t);
              }
              k.result("cells", cs, tokens * u);
              k.result("h", hs, tokens * p);
              long dcs = k.empty((long) batch * u);
              for (int t = timesteps - 1; t >= 0; t--) {
                k.launch(
                    "op_backward_output", few, outTiles, 1, 128, STEP_SHARED, run, whs, gs, dhs, t);
                k.launch(
                    "op_backward_step",
                    few,
                    ceil(u, 32),
                    1,
                    128,
                    STEP_SHARED,
                    run,
                    wrs,
                    c0s,
                    cs,
                    dhs,
                    gs,
                    dcs,
                    t);
              }
              long dx = k.empty((long) tokens * inputs);
              long dwx = k.floats(before);
              long dwh = k.floats(before);
              long dwr = k.floats(before);
              long db = k.floats(bias);
              int in = ceil(inputs, 64);
              k.launch("op_backward_input", rows, in, 1, 256, SHARED, run, gs, wxs, dx);
              k.launch("op_backward_wx", wide, in, 1, 256, SHARED, run, gs, xs, dwx);
              k.launch("op_backward_wh", wide, ceil(p, 64), 1, 256, SHARED, run, gs, h0s, hs, dwh);
              k.launch(
                  "op_backward_wr", ceil(p, 64), ceil(u, 64), 1, 256, SHARED, run, dhs, os, dwr);
              k.launch("op_backward_bias", ceil(4 * u, 32), 1, 1, 256, 1024, run, gs, db);
              k.result("dx", dx, tokens * inputs);
              k.result("dwx", dwx, 4 * u * inputs);
              k.result("dwh", dwh, 4 * u * p);
              k.result("dwr", dwr, p * u);
              k.result("db", db, 4 * u);
              long failed = k.run(valid, true, add, 1, true);
              int blocks = ceil(batch * u, 256);
              k.launch("op_commit_state", blocks, 1, 1, 256, 0, failed, cs, hs, h0s, c0s);
              k.result("h0 after a failure", h0s, batch * p);
              k.launch("op_commit_state", blocks, 1, 1, 256, 0, run, cs, hs, h0s, c0s);
              k.result("h0", h0s, batch * p);
              k.result("c0", c0s, batch * u);
            });
    assertClose("h", results.get("h"), reference.y().resized(valid).data());
    assertClose("dx", results.get("dx"), gradients.x().resized(valid).data());
    double[] start = doubles(before);
    gradients
        .byName()
        .forEach(
            (name, gradient) -> {
              switch (name) {
                case "inputWeights" -> close("dwx", results, gradient, add, start);
                case "recurrentWeights" -> close("dwh", results, gradient, add, start);
                case "projection" -> close("dwr", results, gradient, add, start);
                case "bias" -> close("db", results, gradient, add, doubles(bias));
                default -> {} // of the carried state there is none
              }
            });
    assertThat(results.get("h0 after a failure")).isEqualTo(h0);
    assertThat(results.get("h0")).isEqualTo(carried(h0, results.get("h"), batch, valid));
    assertThat(results.get("c0")).isEqualTo(carried(c0, results.get("cells"), batch, valid));
  }

  private static void close(
      String name, Map<String, float[]> results, Matrix gradient, boolean add, double[] before) {
    double[] expected = gradient.data();
    assertClose(name, results.get(name), add ? Reference.add(expected, before) : expected);
  }

  /** What each sequence carries on: its last valid row, or what it began with. */
  private static float[] carried(float[] start, float[] rows, int batch, int valid) {
    float[] end = start.clone();
    int width = start.length / batch;
    for (int sequence = 0; sequence < Math.min(batch, valid); sequence++) {
      int last = (valid - 1 - sequence) / batch * batch + sequence;
      System.arraycopy(rows, last * width, end, sequence * width, width);
    }
    return end;
  }
}
