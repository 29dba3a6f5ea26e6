package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.Kernels.assertClose;
import static dev.topknot.it.cuda.Kernels.ceil;
import static dev.topknot.it.cuda.Kernels.random;
import static dev.topknot.it.cuda.Reference.doubles;

import dev.topknot.dsl.ActivationFunction;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The kernels of experts, plain and gated, for any number of them, empty and hot ones. */
@Tag("emulator")
class ExpertsKernelsTest {
  private static final int SHARED = 17408;

  /** Which slots each expert has, as Dispatch leaves it. */
  private static final class Routing {
    final int[] offsets;
    final int[] rows;
    final int[] slots;

    private Routing(int[] offsets, int[] rows, int[] slots) {
      this.offsets = offsets;
      this.rows = rows;
      this.slots = slots;
    }

    /** k different experts a token; with hot, always expert 0 (or the last) among them. */
    static Routing random(int tokens, int valid, int experts, int k, boolean hot) {
      Random random = new Random(11);
      int[] chosen = new int[tokens * k];
      for (int t = 0; t < valid; t++) {
        boolean[] taken = new boolean[experts];
        for (int j = 0; j < k; j++) {
          int expert = hot && j == 0 ? t % 8 == 0 ? experts - 1 : 0 : random.nextInt(experts);
          while (taken[expert]) {
            expert = (expert + 1) % experts;
          }
          taken[expert] = true;
          chosen[t * k + j] = expert;
        }
      }
      int[] offsets = new int[experts + 1];
      int[] rows = new int[tokens * k];
      int[] slots = new int[tokens * k];
      int slot = 0;
      for (int e = 0; e < experts; e++) {
        offsets[e] = slot;
        for (int pair = 0; pair < valid * k; pair++) {
          if (chosen[pair] == e) {
            rows[slot] = pair / k;
            slots[pair] = slot++;
          }
        }
      }
      offsets[experts] = slot;
      Arrays.fill(rows, slot, rows.length, Integer.MIN_VALUE);
      Arrays.fill(slots, valid * k, slots.length, Integer.MIN_VALUE);
      return new Routing(offsets, rows, slots);
    }

    /** Candidates for row tiles: what the plan launches. */
    int tiles() {
      int experts = offsets.length - 1;
      return rows.length <= experts ? rows.length : experts + rows.length / 64;
    }

    int rowsOf(int expert) {
      return offsets[expert + 1] - offsets[expert];
    }

    /** Rows of x, one a slot of an expert. */
    double[] gather(float[] x, int width, int expert) {
      double[] result = new double[rowsOf(expert) * width];
      for (int i = 0; i < result.length; i++) {
        result[i] = x[rows[offsets[expert] + i / width] * width + i % width];
      }
      return result;
    }
  }

  private static double[] part(float[] weights, int expert, int size) {
    return doubles(Arrays.copyOfRange(weights, expert * size, (expert + 1) * size));
  }

  private static void put(double[] from, double[] to, int at) {
    System.arraycopy(from, 0, to, at, from.length);
  }

  @ParameterizedTest
  @CsvSource({
    // tokens, valid, width, hidden, experts, k, activation, hot, add
    "70, 70, 20, 33, 3, 2, GELU, false, false",
    "90, 81, 64, 64, 8, 2, RELU, true, true",
    "1, 1, 5, 7, 64, 4, TANH, false, false",
    "40, 33, 12, 130, 256, 3, SIGMOID, false, false",
    "100, 97, 68, 16, 1, 1, RELU, false, false",
    "150, 150, 9, 8, 4, 1, GELU, true, false",
    "6, 0, 8, 8, 3, 2, RELU, false, false",
    "6, 0, 8, 8, 64, 1, IDENTITY, false, true",
    "1, 1, 8, 16, 4, 4, GELU, false, true", // as those of 8: the wide tile as well
    "200, 190, 72, 136, 3, 2, TANH, true, true",
    "140, 140, 136, 72, 2, 1, GELU, false, false",
    "160, 160, 8, 8, 160, 1, RELU, true, false", // no more slots than experts, of which one has
    // most
  })
  void plain(
      int tokens,
      int valid,
      int width,
      int hidden,
      int experts,
      int k,
      ActivationFunction f,
      boolean hot,
      boolean add) {
    Routing routing = Routing.random(tokens, valid, experts, k, hot);
    int pairs = tokens * k;
    int used = valid * k;
    int size = hidden * width;
    float[] x = random(1, tokens * width, 1);
    float[] dy = random(2, tokens * width, 1);
    float[] gates = random(3, pairs, 1);
    float[] w1 = random(4, experts * size, 0.5);
    float[] w2 = random(5, experts * size, 0.5);
    float[] before = random(6, experts * size, 1);
    double[] out = new double[used * width];
    double[] dOut = new double[used * width];
    double[] dw1 = new double[experts * size];
    double[] dw2 = new double[experts * size];
    double[] gateOf = new double[used];
    double[] dGateOf = new double[used];
    for (int pair = 0; pair < used; pair++) {
      gateOf[routing.slots[pair]] = gates[pair];
    }
    for (int e = 0; e < experts; e++) {
      int n = routing.rowsOf(e);
      int first = routing.offsets[e];
      double[] xs = routing.gather(x, width, e);
      double[] dys = routing.gather(dy, width, e);
      double[] z = Reference.nt(xs, part(w1, e, size), n, hidden, width);
      double[] d = Reference.nn(dys, part(w2, e, size), n, hidden, width);
      double[] a = new double[z.length];
      for (int i = 0; i < z.length; i++) {
        a[i] = Reference.activate(f, z[i]);
      }
      put(Reference.nt(a, part(w2, e, size), n, width, hidden), out, first * width);
      for (int i = 0; i < z.length; i++) {
        int slot = first + i / hidden;
        dGateOf[slot] += d[i] * a[i];
        d[i] *= gateOf[slot] * Reference.slope(f, z[i]);
        a[i] *= gateOf[slot];
      }
      put(Reference.nn(d, part(w1, e, size), n, width, hidden), dOut, first * width);
      put(Reference.tn(d, xs, hidden, width, n), dw1, e * size);
      put(Reference.tn(dys, a, width, hidden, n), dw2, e * size);
    }
    double[] dGates = new double[used];
    for (int pair = 0; pair < used; pair++) {
      dGates[pair] = dGateOf[routing.slots[pair]];
    }
    boolean keeps = f == ActivationFunction.GELU;
    String source =
        """
            #include "topknot/experts.cuh"
            struct S {
              using Tile = Fp32Tile;
              static constexpr int TOKENS = %d, WIDTH = %d, EXPERTS = %d, K = %d, PLACES = K, HIDDEN = %d;
              static constexpr Activation ACTIVATION = %s;
            };
            TOPKNOT_EXPERTS(op, S)
            """
            .formatted(tokens, width, experts, k, hidden, f);
    int tiles = routing.tiles();
    int wide = ceil(width, 64);
    int deep = ceil(hidden, 64);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            width % 8 == 0 && hidden % 8 == 0,
            tokens == 1,
            g -> {
              long run = g.run(valid, true, add, 0, false);
              long offsets = g.ints(routing.offsets);
              long rows = g.ints(routing.rows);
              long slots = g.ints(routing.slots);
              long xs = g.rounded(run, "op_forward_round", tokens * width, g.floats(x))[0];
              long[] both =
                  g.rounded(run, "op_backward_round", tokens * width, g.floats(x), g.floats(dy));
              long xsAgain = both[0];
              long dys = both[1];
              long w1s = g.floats(w1);
              long w2s = g.floats(w2);
              long kept = g.empty((long) pairs * hidden);
              long act = keeps || g.wide() ? g.empty((long) pairs * hidden) : kept;
              long outs = g.empty((long) pairs * width);
              g.launch(
                  "op_forward_hidden",
                  tiles,
                  deep,
                  1,
                  256,
                  SHARED,
                  xs,
                  offsets,
                  rows,
                  w1s,
                  kept,
                  act);
              g.launch(
                  "op_forward_output", tiles, wide, 1, 256, SHARED, act, offsets, rows, w2s, outs);
              g.result("out", outs, pairs * width);
              long dHidden = g.empty((long) pairs * hidden);
              long gated = g.empty((long) pairs * hidden);
              long parts = g.empty((long) pairs * deep);
              long dGate = g.empty(pairs);
              long dOuts = g.empty((long) pairs * width);
              long dw1s = g.floats(before);
              long dw2s = g.floats(before);
              g.launch(
                  "op_backward_hidden",
                  tiles,
                  deep,
                  1,
                  256,
                  SHARED + 256,
                  offsets,
                  rows,
                  slots,
                  g.floats(gates),
                  dys,
                  w2s,
                  kept,
                  dHidden,
                  gated,
                  parts);
              g.launch(
                  "op_backward_gates", ceil(pairs, 256), 1, 1, 256, 0, run, slots, parts, dGate);
              g.launch(
                  "op_backward_input",
                  tiles,
                  wide,
                  1,
                  256,
                  SHARED,
                  offsets,
                  rows,
                  dHidden,
                  w1s,
                  dOuts);
              g.launch(
                  "op_backward_w1",
                  deep,
                  ceil(wide, 3),
                  experts,
                  256,
                  SHARED,
                  run,
                  offsets,
                  rows,
                  dHidden,
                  xsAgain,
                  dw1s);
              g.launch(
                  "op_backward_w2",
                  wide,
                  ceil(deep, 3),
                  experts,
                  256,
                  SHARED,
                  run,
                  offsets,
                  rows,
                  dys,
                  gated,
                  dw2s);
              g.result("dGates", dGate, pairs);
              g.result("dOut", dOuts, pairs * width);
              g.result("dw1", dw1s, experts * size);
              g.result("dw2", dw2s, experts * size);
            });
    assertClose("out", results.get("out"), out);
    assertClose("dGates", results.get("dGates"), dGates);
    assertClose("dOut", results.get("dOut"), dOut);
    assertClose("dw1", results.get("dw1"), add ? Reference.add(dw1, doubles(before)) : dw1);
    assertClose("dw2", results.get("dw2"), add ? Reference.add(dw2, doubles(before)) : dw2);
  }

  @ParameterizedTest
  @CsvSource({
    "70, 70, 20, 33, 3, 2, false, false",
    "90, 81, 64, 64, 8, 2, true, true",
    "1, 1, 5, 7, 64, 4, false, false",
    "6, 0, 8, 8, 3, 2, false, false",
    "67, 66, 20, 33, 1, 1, false, true", // one expert: the feed-forward layer as well
    "150, 140, 40, 72, 1, 1, false, true", // as those of 8: the wide tile as well
    "200, 190, 136, 72, 3, 2, true, false",
    "1, 1, 16, 8, 3, 2, false, true",
  })
  void swiglu(
      int tokens, int valid, int width, int hidden, int experts, int k, boolean hot, boolean add) {
    Routing routing = Routing.random(tokens, valid, experts, k, hot);
    int pairs = tokens * k;
    int used = valid * k;
    int size = hidden * width;
    float[] x = random(1, tokens * width, 1);
    float[] dy = random(2, tokens * width, 1);
    float[] gates = random(3, pairs, 1);
    if (experts == 1) {
      Arrays.fill(gates, 1);
    }
    float[] w1 = random(4, experts * size, 0.5);
    float[] w2 = random(5, experts * size, 0.5);
    float[] w3 = random(6, experts * size, 0.5);
    float[] before = random(7, experts * size, 1);
    double[] out = new double[used * width];
    double[] dOut = new double[used * width];
    double[] dw1 = new double[experts * size];
    double[] dw2 = new double[experts * size];
    double[] dw3 = new double[experts * size];
    double[] gateOf = new double[used];
    double[] dGateOf = new double[used];
    for (int pair = 0; pair < used; pair++) {
      gateOf[routing.slots[pair]] = gates[pair];
    }
    for (int e = 0; e < experts; e++) {
      int n = routing.rowsOf(e);
      int first = routing.offsets[e];
      double[] xs = routing.gather(x, width, e);
      double[] dys = routing.gather(dy, width, e);
      double[] u = Reference.nt(xs, part(w1, e, size), n, hidden, width);
      double[] v = Reference.nt(xs, part(w3, e, size), n, hidden, width);
      double[] d = Reference.nn(dys, part(w2, e, size), n, hidden, width);
      double[] a = new double[u.length];
      for (int i = 0; i < u.length; i++) {
        a[i] = u[i] * Reference.sigmoid(u[i]) * v[i];
      }
      put(Reference.nt(a, part(w2, e, size), n, width, hidden), out, first * width);
      for (int i = 0; i < u.length; i++) {
        int slot = first + i / hidden;
        double s = Reference.sigmoid(u[i]);
        dGateOf[slot] += d[i] * a[i];
        a[i] *= gateOf[slot];
        d[i] *= gateOf[slot];
        double du = d[i] * v[i] * s * (1 + u[i] * (1 - s));
        v[i] = d[i] * u[i] * s;
        u[i] = du;
      }
      double[] dIn =
          Reference.add(
              Reference.nn(u, part(w1, e, size), n, width, hidden),
              Reference.nn(v, part(w3, e, size), n, width, hidden));
      put(dIn, dOut, first * width);
      put(Reference.tn(u, xs, hidden, width, n), dw1, e * size);
      put(Reference.tn(dys, a, width, hidden, n), dw2, e * size);
      put(Reference.tn(v, xs, hidden, width, n), dw3, e * size);
    }
    double[] dGates = new double[used];
    for (int pair = 0; pair < used; pair++) {
      dGates[pair] = dGateOf[routing.slots[pair]];
    }
    boolean twin = experts == 1;
    String source =
        """
            #include "topknot/swiglu.cuh"
            struct S {
              using Tile = Fp32Tile;
              static constexpr int TOKENS = %d, WIDTH = %d, EXPERTS = %d, K = %d, PLACES = K, HIDDEN = %d;
            };
            %s(op, S)
            """
            .formatted(
                tokens,
                width,
                experts,
                k,
                hidden,
                twin ? "TOPKNOT_SWIGLU_FEED_FORWARD" : "TOPKNOT_SWIGLU_EXPERTS");
    int tiles = twin ? ceil(tokens, 64) : routing.tiles();
    int wide = ceil(width, 64);
    int deep = ceil(hidden, 64);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            width % 8 == 0 && hidden % 8 == 0,
            tokens == 1,
            g -> {
              long run = g.run(valid, true, add, 0, false);
              long offsets = g.ints(routing.offsets);
              long rows = g.ints(routing.rows);
              long slots = g.ints(routing.slots);
              long xs = g.rounded(run, "op_forward_round", tokens * width, g.floats(x))[0];
              long[] both =
                  g.rounded(run, "op_backward_round", tokens * width, g.floats(x), g.floats(dy));
              long xsAgain = both[0];
              long dys = both[1];
              long w1s = g.floats(w1);
              long w2s = g.floats(w2);
              long w3s = g.floats(w3);
              long u = g.empty((long) pairs * hidden);
              long v = g.empty((long) pairs * hidden);
              long act = g.empty((long) pairs * hidden);
              long outs = g.empty((long) pairs * width);
              long du = g.empty((long) pairs * hidden);
              long dv = g.empty((long) pairs * hidden);
              long gated = g.empty((long) pairs * hidden);
              long dGate = g.empty(pairs);
              long dOuts = g.empty((long) pairs * width);
              long dw1s = g.floats(before);
              long dw2s = g.floats(before);
              long dw3s = g.floats(before);
              if (twin) {
                g.launch(
                    "op_forward_hidden",
                    tiles,
                    ceil(2 * hidden, 64),
                    1,
                    256,
                    SHARED,
                    run,
                    xs,
                    w1s,
                    w3s,
                    u,
                    v,
                    act);
                g.launch("op_forward_output", tiles, wide, 1, 256, SHARED, run, act, w2s, outs);
                g.launch(
                    "op_backward_hidden",
                    tiles,
                    deep,
                    1,
                    256,
                    SHARED,
                    run,
                    dys,
                    w2s,
                    u,
                    v,
                    du,
                    dv,
                    gated);
                g.launch(
                    "op_backward_input", tiles, wide, 1, 256, SHARED, run, du, dv, w1s, w3s, dOuts);
                g.launch("op_backward_w1", deep, wide, 1, 256, SHARED, run, du, xsAgain, dw1s);
                g.launch("op_backward_w1", deep, wide, 1, 256, SHARED, run, dv, xsAgain, dw3s);
                g.launch("op_backward_w2", wide, deep, 1, 256, SHARED, run, dys, gated, dw2s);
              } else {
                g.launch(
                    "op_forward_hidden",
                    tiles,
                    ceil(2 * hidden, 64),
                    1,
                    256,
                    SHARED,
                    xs,
                    offsets,
                    rows,
                    w1s,
                    w3s,
                    u,
                    v,
                    act);
                g.launch(
                    "op_forward_output",
                    tiles,
                    wide,
                    1,
                    256,
                    SHARED,
                    act,
                    offsets,
                    rows,
                    w2s,
                    outs);
                long parts = g.empty((long) pairs * deep);
                g.launch(
                    "op_backward_hidden",
                    tiles,
                    deep,
                    1,
                    256,
                    SHARED + 256,
                    offsets,
                    rows,
                    slots,
                    g.floats(gates),
                    dys,
                    w2s,
                    u,
                    v,
                    du,
                    dv,
                    gated,
                    parts);
                g.launch(
                    "op_backward_gates", ceil(pairs, 256), 1, 1, 256, 0, run, slots, parts, dGate);
                g.launch(
                    "op_backward_input",
                    tiles,
                    wide,
                    1,
                    256,
                    SHARED,
                    offsets,
                    rows,
                    du,
                    dv,
                    w1s,
                    w3s,
                    dOuts);
                g.launch(
                    "op_backward_w1",
                    deep,
                    ceil(wide, 3),
                    experts,
                    256,
                    SHARED,
                    run,
                    offsets,
                    rows,
                    du,
                    xsAgain,
                    dw1s);
                g.launch(
                    "op_backward_w1",
                    deep,
                    ceil(wide, 3),
                    experts,
                    256,
                    SHARED,
                    run,
                    offsets,
                    rows,
                    dv,
                    xsAgain,
                    dw3s);
                g.launch(
                    "op_backward_w2",
                    wide,
                    ceil(deep, 3),
                    experts,
                    256,
                    SHARED,
                    run,
                    offsets,
                    rows,
                    dys,
                    gated,
                    dw2s);
              }
              g.result("out", outs, pairs * width);
              g.result("dGates", dGate, pairs);
              g.result("dOut", dOuts, pairs * width);
              g.result("dw1", dw1s, experts * size);
              g.result("dw2", dw2s, experts * size);
              g.result("dw3", dw3s, experts * size);
            });
    assertClose("out", results.get("out"), out);
    assertClose("dGates", results.get("dGates"), twin ? new double[0] : dGates);
    assertClose("dOut", results.get("dOut"), dOut);
    assertClose("dw1", results.get("dw1"), add ? Reference.add(dw1, doubles(before)) : dw1);
    assertClose("dw2", results.get("dw2"), add ? Reference.add(dw2, doubles(before)) : dw2);
    assertClose("dw3", results.get("dw3"), add ? Reference.add(dw3, doubles(before)) : dw3);
  }
}
