package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.CpuValues.poisoned;
import static dev.topknot.it.cuda.CpuValues.read;
import static dev.topknot.it.cuda.CpuValues.rows;
import static dev.topknot.it.cuda.Kernels.assertClose;
import static dev.topknot.it.cuda.Kernels.ceil;
import static dev.topknot.it.cuda.Kernels.random;
import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.cpu.BalancedCombine;
import dev.topknot.runtime.cpu.BalancedDispatch;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.Ints;
import dev.topknot.runtime.cpu.Matrix;
import dev.topknot.runtime.cpu.Run;
import dev.topknot.runtime.cpu.StrictlyBalancedGate;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The kernels of strictly balanced gating against the CPU's operations, in any shape. */
@Tag("emulator")
class BalancedKernelsTest {
  private static final int SHARED = 17408;
  private static final int STATUS = 28;
  private static final int STATUS_ROOM = 3;
  private static final float THRESHOLD_LOSS = 0.5f;

  private static String source(int tokens, int width, int n, int k) {
    return """
        #include "topknot/strictly_balanced_gate.cuh"
        #include "topknot/dispatch.cuh"
        #include "topknot/combine.cuh"
        struct S {
          using GateTile = Fp32Tile;
          static constexpr int TOKENS = %d, WIDTH = %d, EXPERTS = %d, K = %d;
          static constexpr float THRESHOLD_LOSS = %s;
        };
        TOPKNOT_STRICTLY_BALANCED_GATE(gate, S)
        TOPKNOT_BALANCED_DISPATCH(sort, S)
        TOPKNOT_BALANCED_COMBINE(sum, S)
        """
        .formatted(tokens, width, n, k, THRESHOLD_LOSS);
  }

  @ParameterizedTest
  @CsvSource({
    // tokens, valid, width, experts, k, method, add, scale of the gate's weights
    "600, 577, 9, 5, 2, forward, false, 0.5",
    "600, 600, 8, 6, 2, infer, false, 0.5",
    "70, 70, 33, 300, 30, forward, true, 0.5",
    "40, 37, 132, 130, 13, infer, false, 0.5",
    "33, 33, 12, 3, 3, forward, true, 0.5",
    "64, 50, 12, 8, 4, forward, false, 0",
    "64, 50, 12, 8, 8, infer, false, 0",
    "1, 1, 5, 2, 2, forward, false, 0.5",
    "16, 3, 5, 8, 2, forward, false, 0.5",
    "6, 0, 8, 4, 2, forward, false, 0.5",
    "6, 0, 8, 4, 2, infer, false, 0.5",
    "12, 12, 4, 4, 1, forward, false, 400",
  })
  void gate(
      int tokens, int valid, int width, int n, int k, String method, boolean add, float scale) {
    boolean training = method.equals("forward");
    float[] x = poisoned(random(1, tokens * width, 1), valid, width);
    float[] gateWeights = random(2, n * width, scale);
    float[] thresholds = random(3, n, 0.5f / n);
    for (int i = 0; i < n; i++) {
      thresholds[i] += 1f / n;
    }
    float[] dGates = poisoned(random(4, tokens * n, 1), valid, n);
    float[] dx = poisoned(random(5, tokens * width, 1), valid, width);
    float[] before = random(6, n * width, 1);
    int chunks = ceil(tokens, 64);
    int rows = ceil(tokens, 8);
    int experts = ceil(n, 128);
    Map<String, float[]> results =
        Kernels.everywhere(
            source(tokens, width, n, k),
            n == 3,
            kernels -> {
              long run = kernels.run(valid, training, add, 0, false);
              long xs = kernels.floats(x);
              long weights = kernels.floats(gateWeights);
              long limit = kernels.floats(thresholds);
              long logits = kernels.empty((long) tokens * n);
              long chosen = kernels.empty((long) tokens * n);
              long gates = kernels.empty((long) tokens * n);
              long importance = kernels.empty(n);
              long load = kernels.empty(n);
              long above = kernels.empty(n);
              long dropped = kernels.empty(1);
              long limits = kernels.empty(2L * n);
              long partials = kernels.empty(6L * chunks * n);
              String gate = "gate_" + method;
              kernels.launch(
                  gate + "_logits", chunks, ceil(n, 64), 1, 256, SHARED, run, xs, weights, logits);
              kernels.launch(gate + "_normalise", rows, 1, 1, 256, 0, run, logits, dropped);
              if (training) {
                kernels.launch(gate + "_limits", n, 1, 1, 256, 2048, run, logits, limits);
              }
              kernels.launch(
                  gate + "_select",
                  rows,
                  1,
                  1,
                  256,
                  0,
                  run,
                  logits,
                  training ? limits : limit,
                  chosen,
                  gates,
                  dropped);
              kernels.launch(
                  gate + "_partials",
                  chunks,
                  experts,
                  1,
                  128,
                  0,
                  run,
                  limit,
                  logits,
                  chosen,
                  gates,
                  partials);
              kernels.launch(
                  gate + "_sums", experts, 1, 1, 128, 0, run, partials, importance, load, above);
              kernels.result("logits", logits, tokens * n);
              kernels.result("chosen", chosen, tokens * n);
              kernels.result("gates", gates, tokens * n);
              kernels.result("importance", importance, n);
              kernels.result("load", load, n);
              kernels.result("above", above, n);
              kernels.result("dropped", dropped, 1);
              if (!training) {
                return;
              }
              long dLogits = kernels.empty((long) tokens * n);
              long dxs = kernels.floats(dx);
              long dWeights = kernels.floats(before);
              long dThresholds = kernels.floats(Arrays.copyOf(before, n));
              kernels.launch(
                  "gate_backward_rows",
                  rows,
                  1,
                  1,
                  256,
                  0,
                  run,
                  limit,
                  logits,
                  chosen,
                  gates,
                  kernels.floats(dGates),
                  dLogits);
              kernels.launch(
                  "gate_backward_input",
                  chunks,
                  ceil(width, 64),
                  1,
                  256,
                  SHARED,
                  run,
                  dLogits,
                  weights,
                  dxs);
              kernels.launch(
                  "gate_backward_weight",
                  ceil(n, 64),
                  ceil(width, 64),
                  1,
                  256,
                  SHARED,
                  run,
                  xs,
                  dLogits,
                  1,
                  0,
                  dWeights);
              kernels.launch(
                  "gate_backward_thresholds", experts, 1, 1, 128, 0, run, load, above, dThresholds);
              kernels.result("dLogits", dLogits, tokens * n);
              kernels.result("dx", dxs, tokens * width);
              kernels.result("dWeights", dWeights, n * width);
              kernels.result("dThresholds", dThresholds, n);
            });

    CpuContext context = CpuValues.context(Options.defaults());
    Run run = CpuValues.run(tokens, valid, add);
    try (CpuValues cpu = new CpuValues()) {
      StrictlyBalancedGate op =
          new StrictlyBalancedGate(context, "", tokens, width, n, k, THRESHOLD_LOSS);
      Matrix xs = cpu.floats(x, tokens, width);
      Matrix weights = cpu.floats(gateWeights, n, width);
      Matrix limit = cpu.floats(thresholds, 1, n);
      Matrix logits = cpu.empty(tokens, n);
      Ints chosen = cpu.ints(new int[tokens * n]);
      Matrix gates = cpu.empty(tokens, n);
      Matrix importance = cpu.empty(1, n);
      Matrix load = cpu.empty(1, n);
      Matrix above = cpu.empty(1, n);
      Ints dropped = cpu.ints(-1);
      if (training) {
        op.forward(
            run, xs, weights, limit, logits, chosen, gates, importance, load, above, dropped);
      } else {
        op.infer(run, xs, weights, limit, logits, chosen, gates, importance, load, above, dropped);
      }
      assertClose("logits", results.get("logits"), rows(logits, valid));
      assertThat(ints(results.get("chosen"), valid * n)).isEqualTo(read(chosen, valid * n));
      assertClose("gates", results.get("gates"), rows(gates, valid));
      assertClose("importance", results.get("importance"), rows(importance, 1));
      assertThat(results.get("load")).isEqualTo(read(load));
      assertThat(results.get("above")).isEqualTo(read(above));
      assertThat(ints(results.get("dropped"), 1)).isEqualTo(read(dropped, 1));
      if (!training) {
        return;
      }
      int kept = k * valid / n;
      assertThat(results.get("load")).containsOnly(kept);
      Matrix dLogits = cpu.empty(tokens, n);
      Matrix dxs = cpu.floats(dx, tokens, width);
      Matrix dWeights = cpu.floats(before, n, width);
      Matrix dThresholds = cpu.floats(Arrays.copyOf(before, n), 1, n);
      op.backward(
          run,
          xs,
          weights,
          limit,
          logits,
          chosen,
          gates,
          load,
          above,
          cpu.floats(dGates, tokens, n),
          dLogits,
          dxs,
          dWeights,
          dThresholds);
      assertClose("dLogits", results.get("dLogits"), rows(dLogits, valid));
      assertClose("dx", results.get("dx"), rows(dxs, valid), scale > 1 ? scale : 1);
      assertClose("dWeights", results.get("dWeights"), rows(dWeights, n));
      assertThat(results.get("dThresholds")).isEqualTo(read(dThresholds));
    }
  }

  @ParameterizedTest
  @CsvSource({
    // tokens, valid, width, experts, k, percent of the places that are chosen
    "600, 577, 9, 5, 3, 40",
    "70, 70, 33, 300, 40, 8",
    "40, 37, 132, 130, 130, 100",
    "33, 33, 12, 3, 3, 60",
    "1, 1, 300, 40, 40, 70",
    "6, 0, 8, 4, 2, 50",
    "64, 64, 5, 33, 1, 0",
  })
  void dispatchAndCombine(int tokens, int valid, int width, int n, int k, int percent) {
    int[] chosen = new int[tokens * n];
    float[] uniform = random(9, tokens * n, 50);
    for (int i = 0; i < chosen.length; i++) {
      chosen[i] = i >= valid * n ? Integer.MIN_VALUE : uniform[i] + 50 < percent ? 1 : 0;
    }
    chosen[0] = valid == 0 ? chosen[0] : 1;
    int pairs = Arrays.stream(chosen, 0, valid * n).sum();
    float[] out = poisoned(random(1, tokens * k * width, 1), pairs, width);
    float[] gates = poisoned(random(2, tokens * n, 1), valid, n);
    Map<String, float[]> results = sorted(tokens, valid, width, n, k, chosen, out, gates);
    assertThat(ints(results.get("run"), STATUS / 4 + 1)[STATUS / 4]).isZero();

    CpuContext context = CpuValues.context(Options.defaults());
    Run run = CpuValues.run(tokens, valid, false);
    try (CpuValues cpu = new CpuValues()) {
      Ints offsets = cpu.ints(new int[n + 1]);
      Ints rows = cpu.ints(new int[tokens * k]);
      Ints slots = cpu.ints(new int[tokens * n]);
      new BalancedDispatch(context, "", tokens, n, k)
          .forward(run, cpu.ints(chosen), offsets, rows, slots);
      assertThat(ints(results.get("offsets"), n + 1)).isEqualTo(read(offsets, n + 1));
      assertThat(ints(results.get("rows"), pairs)).isEqualTo(read(rows, pairs));
      assertThat(ints(results.get("slots"), valid * n)).isEqualTo(read(slots, valid * n));
      BalancedCombine combine = new BalancedCombine(context, "", tokens, width, n);
      Matrix y = cpu.empty(tokens, width);
      Matrix dx = cpu.empty(tokens, width);
      Matrix outs = cpu.floats(out, tokens * k, width);
      combine.forward(run, outs, cpu.floats(gates, tokens, n), slots, y);
      combine.backward(run, outs, slots, dx);
      assertThat(results.get("y")).isEqualTo(read(y));
      assertThat(results.get("dx")).isEqualTo(read(dx));
    }
  }

  /** What finds no room has no slot, and the status says so; nothing else is written. */
  @ParameterizedTest
  @CsvSource({"70, 67, 12, 9, 2", "5, 5, 4, 300, 1"})
  void overflow(int tokens, int valid, int width, int n, int k) {
    int[] chosen = new int[tokens * n];
    Arrays.fill(chosen, 1);
    float[] out = random(1, tokens * k * width, 1);
    float[] gates = random(2, tokens * n, 1);
    Map<String, float[]> results = sorted(tokens, valid, width, n, k, chosen, out, gates);
    assertThat(ints(results.get("run"), STATUS / 4 + 1)[STATUS / 4]).isEqualTo(STATUS_ROOM);
    int room = tokens * k;
    int[] offsets = ints(results.get("offsets"), n + 1);
    int[] slots = ints(results.get("slots"), valid * n);
    for (int e = 0; e <= n; e++) {
      assertThat(offsets[e]).isEqualTo(Math.min(e * valid, room));
    }
    for (int t = 0; t < valid; t++) {
      for (int e = 0; e < n; e++) {
        int slot = e * valid + t;
        assertThat(slots[t * n + e]).isEqualTo(slot < room ? slot : -1);
      }
    }
    int[] rows = ints(results.get("rows"), room);
    for (int slot = 0; slot < room; slot++) {
      assertThat(rows[slot]).isEqualTo(slot % valid);
    }
    for (int i = 0; i < tokens * width; i++) {
      assertThat(Float.isNaN(results.get("y")[i])).isEqualTo(i >= valid * width);
    }
  }

  private static Map<String, float[]> sorted(
      int tokens, int valid, int width, int n, int k, int[] chosen, float[] out, float[] gates) {
    return Kernels.everywhere(
        source(tokens, width, n, k),
        n == 3,
        kernels -> {
          long run = kernels.run(valid, false, false, 0, false);
          int chunks = ceil(tokens, 64);
          int experts = ceil(n, 128);
          long chosens = kernels.ints(chosen);
          long counts = kernels.empty((long) chunks * n);
          long totals = kernels.empty(n);
          long offsets = kernels.empty(n + 1);
          long rows = kernels.empty((long) tokens * k);
          long slots = kernels.empty((long) tokens * n);
          kernels.launch("sort_forward_counts", chunks, experts, 1, 128, 0, run, chosens, counts);
          kernels.launch("sort_forward_totals", ceil(n, 256), 1, 1, 256, 0, run, counts, totals);
          kernels.launch("sort_forward_offsets", 1, 1, 1, 256, 1024, run, totals, offsets);
          kernels.launch(
              "sort_forward_place",
              chunks,
              experts,
              1,
              128,
              0,
              run,
              chosens,
              counts,
              offsets,
              rows,
              slots);
          long outs = kernels.floats(out);
          long y = kernels.empty((long) tokens * width);
          long dx = kernels.empty((long) tokens * width);
          int blocks = ceil(tokens, 8);
          kernels.launch(
              "sum_forward_rows", blocks, 1, 1, 256, 0, run, outs, kernels.floats(gates), slots, y);
          kernels.launch("sum_backward_rows", blocks, 1, 1, 256, 0, run, outs, slots, dx);
          kernels.result("run", run, 24);
          kernels.result("offsets", offsets, n + 1);
          kernels.result("rows", rows, tokens * k);
          kernels.result("slots", slots, tokens * n);
          kernels.result("y", y, tokens * width);
          kernels.result("dx", dx, tokens * width);
        });
  }

  private static int[] ints(float[] bits, int count) {
    int[] ints = new int[count];
    Arrays.setAll(ints, i -> Float.floatToRawIntBits(bits[i]));
    return ints;
  }
}
