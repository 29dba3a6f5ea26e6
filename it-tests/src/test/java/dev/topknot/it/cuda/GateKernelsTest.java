package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.CpuValues.poisoned;
import static dev.topknot.it.cuda.CpuValues.rows;
import static dev.topknot.it.cuda.Kernels.assertClose;
import static dev.topknot.it.cuda.Kernels.ceil;
import static dev.topknot.it.cuda.Kernels.random;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.jna.Pointer;
import dev.topknot.dsl.Gating;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.cpu.Combine;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.Dispatch;
import dev.topknot.runtime.cpu.Ints;
import dev.topknot.runtime.cpu.Matrix;
import dev.topknot.runtime.cpu.NoisyTopKGate;
import dev.topknot.runtime.cpu.Run;
import dev.topknot.runtime.cpu.TopKGate;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Gate, dispatch and combine as kernels against the CPU's operations, in any shape. */
@Tag("emulator")
class GateKernelsTest {
  private static final int SHARED = 17408;
  private static final int STREAM_LAYER = 3;
  private static final float IMPORTANCE_LOSS = 0.25f;
  private static final float LOAD_LOSS = 0.125f;

  /** How the weights of the gate are drawn. */
  private enum Weights {
    RANDOM,
    /** All logits are equal. */
    ZERO,
    /** The deviations of the noise underflow. */
    LARGE,
    /** All tokens like expert 1 best. */
    HOT
  }

  @ParameterizedTest
  @CsvSource({
    "NOISY_TOP_K, 70, 70, 33, 5, 2, true, false, RANDOM",
    "NOISY_TOP_K, 70, 65, 20, 64, 4, true, true, RANDOM",
    "NOISY_TOP_K, 130, 129, 8, 256, 3, true, false, HOT",
    "NOISY_TOP_K, 9, 9, 7, 3, 3, true, true, RANDOM",
    "NOISY_TOP_K, 5, 1, 4, 7, 1, true, false, RANDOM",
    "NOISY_TOP_K, 3, 0, 8, 4, 2, true, false, RANDOM",
    "NOISY_TOP_K, 3, 0, 8, 4, 2, true, true, RANDOM",
    "NOISY_TOP_K, 6, 5, 4, 4096, 4, true, false, RANDOM",
    "NOISY_TOP_K, 20, 20, 8, 70, 19, true, false, RANDOM",
    "NOISY_TOP_K, 40, 33, 12, 16, 2, false, true, RANDOM",
    "NOISY_TOP_K, 40, 33, 12, 16, 2, false, false, ZERO",
    "NOISY_TOP_K, 40, 33, 12, 16, 2, true, false, ZERO",
    "NOISY_TOP_K, 40, 33, 12, 16, 2, true, false, LARGE",
    "TOP_K, 70, 66, 33, 5, 2, false, false, RANDOM",
    "TOP_K, 70, 70, 8, 64, 3, false, true, ZERO",
    "TOP_K, 66, 66, 6, 300, 300, false, false, RANDOM",
    "SOFTMAX_TOP_K, 70, 65, 33, 37, 1, false, false, RANDOM",
    "SOFTMAX_TOP_K, 70, 65, 16, 8, 3, false, true, RANDOM",
    "SOFTMAX_TOP_K, 8, 0, 16, 8, 1, false, false, RANDOM",
  })
  void gate(
      Gating gating,
      int tokens,
      int valid,
      int width,
      int n,
      int k,
      boolean noise,
      boolean add,
      Weights kind) {
    boolean noisy = gating == Gating.NOISY_TOP_K;
    float floor = kind == Weights.LARGE ? 0 : 0.01f;
    float[] x = poisoned(random(1, tokens * width, 1), valid, width);
    float[] gateWeights = weights(2, n, width, kind);
    float[] noiseWeights = weights(3, n, width, kind == Weights.HOT ? Weights.RANDOM : kind);
    float[] dGates = poisoned(random(4, tokens * k, 1), valid, k);
    float[] dx = poisoned(random(5, tokens * width, 1), valid, width);
    float[] before = random(6, n * width, 1);
    Map<String, float[]> results =
        Kernels.everywhereSplit(
            source(gating, tokens, width, n, k),
            tokens >= 70,
            false,
            kernels -> {
              long run = run(kernels, valid, add);
              long options = options(kernels, noise, floor);
              Launch launch =
                  new Launch(kernels, run, options, tokens, width, n, k, kernels.floats(x));
              launch.gateWeights = kernels.floats(gateWeights);
              launch.noiseWeights = kernels.floats(noiseWeights);
              launch.dGates = kernels.floats(dGates);
              launch.dx = kernels.floats(dx);
              launch.dGateWeights = kernels.floats(before);
              launch.dNoiseWeights = kernels.floats(before);
              if (noisy) {
                launch.noisy();
              } else {
                launch.plain();
              }
            });

    Options options = Options.defaults().withNoise(noise).withNoiseFloor(floor);
    CpuContext context = CpuValues.context(options);
    Run run = CpuValues.run(tokens, valid, add);
    try (CpuValues cpu = new CpuValues()) {
      Matrix xs = cpu.floats(x, tokens, width);
      Matrix wg = cpu.floats(gateWeights, n, width);
      Matrix wn = cpu.floats(noiseWeights, n, width);
      Matrix clean = cpu.empty(tokens, n);
      Matrix raw = cpu.empty(tokens, n);
      Matrix h = cpu.empty(tokens, n);
      Ints chosen = cpu.ints(new int[tokens * k]);
      Matrix gates = cpu.empty(tokens, k);
      Matrix importance = cpu.empty(1, n);
      Matrix load = cpu.empty(1, n);
      Matrix dGatesIn = cpu.floats(dGates, tokens, k);
      Matrix dClean = cpu.empty(tokens, n);
      Matrix dRaw = cpu.empty(tokens, n);
      Matrix dxs = cpu.floats(dx, tokens, width);
      Matrix dwg = cpu.floats(before, n, width);
      Matrix dwn = cpu.floats(before, n, width);
      if (noisy) {
        NoisyTopKGate op =
            new NoisyTopKGate(
                context, "", tokens, width, n, k, floor, IMPORTANCE_LOSS, LOAD_LOSS, STREAM_LAYER);
        op.infer(run, xs, wg, clean, chosen, gates, importance, load);
        assertThat(ints(results.get("inferred"), valid * k))
            .isEqualTo(CpuValues.read(chosen, valid * k));
        assertClose("inferred gates", results.get("inferredGates"), rows(gates, valid));
        op.forward(run, xs, wg, wn, clean, raw, h, chosen, gates, importance, load);
        assertClose("raw", results.get("raw"), rows(raw, valid));
        assertClose("noisy", results.get("noisy"), rows(h, valid));
        op.backward(
            run,
            xs,
            wg,
            wn,
            clean,
            raw,
            h,
            chosen,
            gates,
            importance,
            load,
            dGatesIn,
            dClean,
            dRaw,
            dxs,
            dwg,
            dwn);
        assertClose("dNoiseWeights", results.get("dNoiseWeights"), rows(dwn, n), 2);
        if (noise) {
          assertClose("dRaw", results.get("dRaw"), rows(dRaw, valid));
        }
      } else {
        TopKGate op =
            new TopKGate(
                context, "", tokens, width, n, k, gating, IMPORTANCE_LOSS, LOAD_LOSS, false);
        op.forward(run, xs, wg, clean, chosen, gates, importance, load);
        op.backward(
            run, xs, wg, clean, chosen, gates, importance, load, dGatesIn, dClean, dxs, dwg);
      }
      assertClose("clean", results.get("clean"), rows(clean, valid));
      assertThat(ints(results.get("chosen"), valid * k))
          .isEqualTo(CpuValues.read(chosen, valid * k));
      assertClose("gates", results.get("gates"), rows(gates, valid));
      assertClose("importance", results.get("importance"), rows(importance, 1));
      assertClose("load", results.get("load"), rows(load, 1));
      assertClose("dClean", results.get("dClean"), rows(dClean, valid));
      assertClose("dx", results.get("dx"), rows(dxs, valid), 2);
      assertClose("dGateWeights", results.get("dGateWeights"), rows(dwg, n), 2);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 4, 3, 1, false",
    "300, 300, 5, 3, 2, false",
    "300, 257, 33, 64, 4, false",
    "300, 299, 8, 300, 3, true",
    "5, 5, 130, 7, 7, false",
    "7, 0, 8, 64, 2, false",
    "3, 2, 8, 4096, 4, false",
    "2, 2, 3, 256, 256, false",
  })
  void dispatchAndCombine(int tokens, int valid, int width, int n, int k, boolean hot) {
    int[] chosen = new int[tokens * k];
    for (int t = 0; t < tokens; t++) {
      for (int j = 0; j < k; j++) { // distinct, in no order; expert n / 2 has no tokens if k < n
        int expert = hot ? (t + j * j) % 3 + j * 3 : (t * 7 + j * (t % 2 == 0 ? 1 : n - 1)) % n;
        chosen[t * k + j] = k < n && !hot && expert == n / 2 ? n - 1 - j : expert;
      }
    }
    float[] out = poisoned(random(1, tokens * k * width, 1), valid, k * width);
    float[] gates = poisoned(random(2, tokens * k, 1), valid, k);
    Map<String, float[]> results =
        Kernels.everywhere(
            "#include \"topknot/dispatch.cuh\"\n#include \"topknot/combine.cuh\"\n"
                + struct(tokens, width, n, k, "")
                + "TOPKNOT_DISPATCH(sort, S)\nTOPKNOT_COMBINE(sum, S)\n",
            kernels -> {
              long run = run(kernels, valid, false);
              int chunks = ceil(tokens * k, 256);
              long chosens = kernels.ints(chosen);
              long counts = kernels.empty((long) chunks * n);
              long totals = kernels.empty(n);
              long offsets = kernels.empty(n + 1);
              long rows = kernels.empty((long) tokens * k);
              long slots = kernels.empty((long) tokens * k);
              kernels.launch("sort_forward_counts", chunks, 1, 1, 256, 4 * n, run, chosens, counts);
              kernels.launch(
                  "sort_forward_totals", ceil(n, 256), 1, 1, 256, 0, run, counts, totals);
              kernels.launch("sort_forward_offsets", 1, 1, 1, 256, 1024, totals, offsets);
              kernels.launch(
                  "sort_forward_place",
                  chunks,
                  1,
                  1,
                  256,
                  1024,
                  run,
                  chosens,
                  counts,
                  offsets,
                  rows,
                  slots);
              kernels.result("offsets", offsets, n + 1);
              kernels.result("rows", rows, tokens * k);
              kernels.result("slots", slots, tokens * k);
              int warps = warps(k);
              int shared = 8 * k * warps;
              long y = kernels.empty((long) tokens * width);
              long dx = kernels.empty((long) tokens * width);
              long outs = kernels.floats(out);
              kernels.launch(
                  "sum_forward_rows",
                  ceil(tokens, warps),
                  1,
                  1,
                  32 * warps,
                  shared,
                  run,
                  outs,
                  kernels.floats(gates),
                  slots,
                  y);
              kernels.launch(
                  "sum_backward_rows",
                  ceil(tokens, warps),
                  1,
                  1,
                  32 * warps,
                  shared,
                  run,
                  outs,
                  slots,
                  dx);
              kernels.result("y", y, tokens * width);
              kernels.result("dx", dx, tokens * width);
            });

    CpuContext context = CpuValues.context(Options.defaults());
    Run run = CpuValues.run(tokens, valid, false);
    try (CpuValues cpu = new CpuValues()) {
      Ints offsets = cpu.ints(new int[n + 1]);
      Ints rows = cpu.ints(new int[tokens * k]);
      Ints slots = cpu.ints(new int[tokens * k]);
      new Dispatch(context, "", tokens, n, k).forward(run, cpu.ints(chosen), offsets, rows, slots);
      int pairs = valid * k;
      assertThat(ints(results.get("offsets"), n + 1)).isEqualTo(CpuValues.read(offsets, n + 1));
      assertThat(ints(results.get("rows"), pairs)).isEqualTo(CpuValues.read(rows, pairs));
      assertThat(ints(results.get("slots"), pairs)).isEqualTo(CpuValues.read(slots, pairs));
      Combine combine = new Combine(context, "", tokens, width, k);
      Matrix y = cpu.empty(tokens, width);
      Matrix dx = cpu.empty(tokens, width);
      Matrix outs = cpu.floats(out, tokens * k, width);
      combine.forward(run, outs, cpu.floats(gates, tokens, k), slots, y);
      combine.backward(run, outs, slots, dx);
      assertThat(results.get("y")).isEqualTo(CpuValues.read(y));
      assertThat(results.get("dx")).isEqualTo(CpuValues.read(dx));
    }
  }

  /** NaN in a row: distinct experts all the same, the lowest that are NaN last. */
  @ParameterizedTest
  @CsvSource({"7, 2", "5, 5", "40, 9"})
  void notANumber(int n, int k) {
    float[] clean = random(1, 2 * n, 1);
    Arrays.fill(clean, 0, n, Float.NaN);
    clean[n + 1] = Float.NaN;
    Map<String, float[]> results =
        Kernels.everywhere(
            source(Gating.TOP_K, 2, 4, n, k),
            kernels -> {
              long chosen = kernels.empty(2L * k);
              long gates = kernels.empty(2L * k);
              int warps = warps(k);
              kernels.launch(
                  "gate_forward_select",
                  ceil(2, warps),
                  1,
                  1,
                  32 * warps,
                  8 * (k + 1) * warps,
                  run(kernels, 2, false),
                  kernels.floats(clean),
                  chosen,
                  gates);
              kernels.result("chosen", chosen, 2 * k);
              kernels.result("gates", gates, 2 * k);
            });
    int[] chosen = ints(results.get("chosen"), 2 * k);
    for (int j = 0; j < k; j++) {
      assertThat(chosen[j]).isEqualTo(j);
      assertThat(results.get("gates")[j]).isNaN();
    }
    assertThat(Arrays.stream(chosen, k, 2 * k).distinct().count()).isEqualTo(k);
  }

  private static float[] weights(long seed, int n, int width, Weights kind) {
    float[] values = random(seed, n * width, kind == Weights.LARGE ? 400 : 0.5);
    for (int i = 0; i < values.length; i++) {
      if (kind == Weights.ZERO) {
        values[i] = 0;
      } else if (kind == Weights.HOT) {
        values[i] *= i / width == 1 ? 4 : 0.25f;
      }
    }
    return values;
  }

  private static int warps(int k) {
    return k < 256 ? 8 : 1;
  }

  private static int[] ints(float[] bits, int count) {
    int[] ints = new int[count];
    Arrays.setAll(ints, i -> Float.floatToRawIntBits(bits[i]));
    return ints;
  }

  private static long run(Kernels kernels, int valid, boolean add) {
    long run = kernels.run(valid, true, add, 0, false);
    new Pointer(run).setLong(0, CpuValues.SEED);
    new Pointer(run).setInt(8, CpuValues.STEP);
    new Pointer(run).setInt(16, CpuValues.FIRST_TOKEN);
    return run;
  }

  private static long options(Kernels kernels, boolean noise, float floor) {
    return kernels.floats(
        IMPORTANCE_LOSS, LOAD_LOSS, floor, 0, Float.intBitsToFloat(noise ? 1 : 0), 0, 0, 0);
  }

  private static String struct(int tokens, int width, int n, int k, String more) {
    return """
        struct S {
          using GateTile = Fp32Tile;
          static constexpr int TOKENS = %d, WIDTH = %d, EXPERTS = %d, K = %d, STREAM_LAYER = %d;
          %s
        };
        """
        .formatted(tokens, width, n, k, STREAM_LAYER, more);
  }

  private static String source(Gating gating, int tokens, int width, int n, int k) {
    String macro = gating == Gating.NOISY_TOP_K ? "TOPKNOT_NOISY_TOP_K_GATE" : "TOPKNOT_TOP_K_GATE";
    return "#include \"topknot/gate.cuh\"\n"
        + struct(tokens, width, n, k, "static constexpr Gating GATING = " + gating + ";")
        + macro
        + "(gate, S)\n";
  }

  /** The launches of a gate, forward and backward. */
  private static final class Launch {
    private final Kernels kernels;
    private final long run;
    private final long options;
    private final int tokens;
    private final int width;
    private final int n;
    private final int k;
    private final long x;
    private final int rowTiles;
    private final int expertTiles;
    private final int widthTiles;
    long gateWeights;
    long noiseWeights;
    long dGates;
    long dx;
    long dGateWeights;
    long dNoiseWeights;

    Launch(Kernels kernels, long run, long options, int tokens, int width, int n, int k, long x) {
      this.kernels = kernels;
      this.run = run;
      this.options = options;
      this.tokens = tokens;
      this.width = width;
      this.n = n;
      this.k = k;
      this.x = x;
      rowTiles = ceil(tokens, 64);
      expertTiles = ceil(n, 64);
      widthTiles = ceil(width, 64);
    }

    void plain() {
      long clean = kernels.empty((long) tokens * n);
      long chosen = kernels.empty((long) tokens * k);
      long gates = kernels.empty((long) tokens * k);
      long importance = kernels.empty(n);
      long load = kernels.empty(n);
      choose("forward", clean, chosen, gates, importance, load);
      long slopes = slopes(importance, load);
      long dClean = kernels.empty((long) tokens * n);
      kernels.launch(
          "gate_backward_rows",
          ceil(tokens, 8),
          1,
          1,
          256,
          0,
          run,
          clean,
          chosen,
          gates,
          dGates,
          slopes,
          dClean);
      kernels.launch(
          "gate_backward_input",
          rowTiles,
          widthTiles,
          1,
          256,
          SHARED,
          run,
          dClean,
          gateWeights,
          dx);
      weights(new long[] {dClean}, dGateWeights);
      results(clean, chosen, gates, importance, load, dClean);
    }

    /** Gradients of weights; those of many tokens in shares. */
    private void weights(long[] gradients, long... weights) {
      int count = tokens > 60 ? 3 : 1;
      long shares = kernels.empty((long) count * weights.length * n * width);
      long[] parameters =
          Stream.of(new long[] {run, x}, gradients, new long[] {count, shares}, weights)
              .flatMapToLong(LongStream::of)
              .toArray();
      kernels.launch(
          "gate_backward_weight",
          expertTiles,
          widthTiles,
          count * weights.length,
          256,
          SHARED,
          parameters);
      if (count > 1) {
        kernels.launch(
            "gate_backward_shares",
            ceil(n * width, 256),
            weights.length,
            1,
            256,
            0,
            LongStream.concat(LongStream.of(run, count, shares), LongStream.of(weights)).toArray());
      }
    }

    void noisy() {
      long clean = kernels.empty((long) tokens * n);
      long raw = kernels.empty((long) tokens * n);
      long noisy = kernels.empty((long) tokens * n);
      long chosen = kernels.empty((long) tokens * k);
      long gates = kernels.empty((long) tokens * k);
      long importance = kernels.empty(n);
      long load = kernels.empty(n);
      choose("infer", clean, chosen, gates, importance, load);
      kernels.result("inferred", chosen, tokens * k);
      kernels.result("inferredGates", gates, tokens * k);
      kernels.launch(
          "gate_forward_logits",
          rowTiles,
          expertTiles,
          2,
          256,
          SHARED,
          run,
          options,
          x,
          gateWeights,
          noiseWeights,
          clean,
          raw);
      long thresholds = kernels.empty(2L * tokens);
      kernels.launch(
          "gate_forward_select",
          ceil(tokens, warps(k)),
          1,
          1,
          32 * warps(k),
          8 * (k + 1) * warps(k),
          run,
          options,
          clean,
          raw,
          noisy,
          chosen,
          gates,
          thresholds);
      long partials = kernels.empty(4L * rowTiles * n);
      kernels.launch(
          "gate_forward_partials",
          rowTiles,
          ceil(n, 128),
          1,
          128,
          0,
          run,
          options,
          clean,
          raw,
          chosen,
          gates,
          thresholds,
          partials);
      kernels.launch(
          "gate_forward_sums", ceil(n, 128), 1, 1, 128, 0, run, partials, importance, load);
      long slopes = slopes(importance, load);
      long dClean = kernels.empty((long) tokens * n);
      long dRaw = kernels.empty((long) tokens * n);
      kernels.launch(
          "gate_backward_rows",
          ceil(tokens, 8),
          1,
          1,
          256,
          0,
          run,
          options,
          clean,
          raw,
          noisy,
          chosen,
          gates,
          dGates,
          slopes,
          dClean,
          dRaw);
      kernels.launch(
          "gate_backward_input",
          rowTiles,
          widthTiles,
          1,
          256,
          SHARED,
          run,
          options,
          dClean,
          gateWeights,
          dRaw,
          noiseWeights,
          dx);
      weights(new long[] {dClean, dRaw}, dGateWeights, dNoiseWeights);
      kernels.result("raw", raw, tokens * n);
      kernels.result("noisy", noisy, tokens * n);
      kernels.result("dRaw", dRaw, tokens * n);
      kernels.result("dNoiseWeights", dNoiseWeights, n * width);
      results(clean, chosen, gates, importance, load, dClean);
    }

    private void choose(
        String method, long clean, long chosen, long gates, long importance, long load) {
      String prefix = "gate_" + method;
      kernels.launch(
          prefix + "_logits", rowTiles, expertTiles, 1, 256, SHARED, run, x, gateWeights, clean);
      kernels.launch(
          prefix + "_select",
          ceil(tokens, warps(k)),
          1,
          1,
          32 * warps(k),
          8 * (k + 1) * warps(k),
          run,
          clean,
          chosen,
          gates);
      long partials = kernels.empty(4L * rowTiles * n);
      kernels.launch(
          prefix + "_partials", rowTiles, ceil(n, 128), 1, 128, 0, run, chosen, gates, partials);
      kernels.launch(prefix + "_sums", ceil(n, 128), 1, 1, 128, 0, run, partials, importance, load);
    }

    private long slopes(long importance, long load) {
      long slopes = kernels.empty(2L * n);
      kernels.launch("gate_backward_slopes", 1, 1, 1, 256, 2048, options, importance, load, slopes);
      return slopes;
    }

    private void results(
        long clean, long chosen, long gates, long importance, long load, long dClean) {
      kernels.result("clean", clean, tokens * n);
      kernels.result("chosen", chosen, tokens * k);
      kernels.result("gates", gates, tokens * k);
      kernels.result("importance", importance, n);
      kernels.result("load", load, n);
      kernels.result("dClean", dClean, tokens * n);
      kernels.result("dx", dx, tokens * width);
      kernels.result("dGateWeights", dGateWeights, n * width);
    }
  }
}
