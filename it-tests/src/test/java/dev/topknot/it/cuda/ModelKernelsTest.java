package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.CpuValues.poisoned;
import static dev.topknot.it.cuda.CpuValues.rows;
import static dev.topknot.it.cuda.Kernels.assertClose;
import static dev.topknot.it.cuda.Kernels.ceil;
import static dev.topknot.it.cuda.Kernels.random;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.sun.jna.Pointer;
import dev.topknot.dsl.ActivationFunction;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.Adam;
import dev.topknot.runtime.cpu.AdamFactored;
import dev.topknot.runtime.cpu.CpuAccess;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.Embedding;
import dev.topknot.runtime.cpu.Ints;
import dev.topknot.runtime.cpu.Matrix;
import dev.topknot.runtime.cpu.Pointwise;
import dev.topknot.runtime.cpu.Run;
import dev.topknot.runtime.program.Init;
import dev.topknot.runtime.program.Layout;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Modifiers, embedding, loss and optimizer as kernels against the CPU's, in any shape. */
@Tag("emulator")
class ModelKernelsTest {
  private static final int STREAM_LAYER = 5;

  @ParameterizedTest
  @CsvSource({
    "9, 8, 33, RELU, 0.5, true, true",
    "9, 9, 4, GELU, 0.25, false, true",
    "70, 65, 17, SIGMOID, 0.1, true, true",
    "70, 65, 17, SIGMOID, 0.1, true, false",
    "3, 3, 1, TANH, 0, true, true",
    "3, 0, 8, IDENTITY, 0.5, true, true",
    "30, 30, 130, IDENTITY, 0.9, false, true"
  })
  void pointwise(
      int tokens,
      int valid,
      int width,
      ActivationFunction f,
      float dropout,
      boolean residual,
      boolean training) {
    float[] u = poisoned(random(1, tokens * width, 3), valid, width);
    float[] x = poisoned(random(2, tokens * width, 1), valid, width);
    float[] dy = poisoned(random(3, tokens * width, 1), valid, width);
    String source =
        """
        #include "topknot/pointwise.cuh"
        struct S {
          static constexpr int TOKENS = %d, WIDTH = %d, STREAM_LAYER = %d;
          static constexpr Activation ACTIVATION = %s;
          static constexpr bool RESIDUAL = %s;
        };
        TOPKNOT_POINTWISE(op, S)
        """
            .formatted(tokens, width, STREAM_LAYER, f, residual);
    int blocks = ceil(tokens * ceil(width, 4), 256);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            k -> {
              long run = run(k, valid, training, false);
              long options = k.floats(0, 0, 0, dropout, 0, 0, 0, 0);
              long y = k.empty((long) tokens * width);
              long du = k.empty((long) tokens * width);
              long dx = k.floats(x);
              long us = k.floats(u);
              long dys = k.floats(dy);
              k.launch(
                  "op_forward_elements",
                  blocks,
                  1,
                  1,
                  256,
                  0,
                  run,
                  options,
                  us,
                  residual ? k.floats(x) : 0,
                  y);
              k.launch("op_backward_elements", blocks, 1, 1, 256, 0, run, options, us, dys, du);
              k.launch("op_addResidual_elements", blocks, 1, 1, 256, 0, run, dys, dx);
              k.result("y", y, tokens * width);
              k.result("du", du, tokens * width);
              k.result("dx", dx, tokens * width);
            });

    CpuContext context = CpuValues.context(Options.defaults());
    Run run = CpuValues.run(tokens, valid, false);
    if (!training) {
      CpuAccess.infer(run, valid);
    }
    try (CpuValues cpu = new CpuValues()) {
      Pointwise op = new Pointwise(context, "", tokens, width, f, dropout, residual, STREAM_LAYER);
      Matrix us = cpu.floats(u, tokens, width);
      Matrix xs = cpu.floats(x, tokens, width);
      Matrix dys = cpu.floats(dy, tokens, width);
      Matrix y = cpu.empty(tokens, width);
      Matrix du = cpu.empty(tokens, width);
      op.forward(run, us, xs, y);
      op.backward(run, us, dys, du);
      op.addResidual(run, dys, xs);
      assertClose("y", results.get("y"), rows(y, valid));
      assertClose("du", results.get("du"), rows(du, valid));
      assertThat(results.get("dx")).isEqualTo(CpuValues.read(xs));
    }
  }

  @ParameterizedTest
  @CsvSource({
    "100, 93, 7, 33, false",
    "100, 100, 300, 132, true",
    "40, 40, 1, 8, false",
    "1, 1, 5, 1, false",
    "9, 0, 5, 3, false",
    "9, 0, 5, 3, true"
  })
  void embedding(int tokens, int valid, int vocabulary, int width, boolean add) {
    int[] ids = new int[tokens];
    Random random = new Random(1);
    Arrays.setAll(ids, t -> t < valid ? random.nextInt(vocabulary) : -1);
    float[] weight = random(2, vocabulary * width, 1);
    float[] before = random(3, vocabulary * width, 1);
    float[] dy = poisoned(random(4, tokens * width, 1), valid, width);
    String source =
        """
        #include "topknot/embedding.cuh"
        struct S { static constexpr int TOKENS = %d, VOCABULARY = %d, WIDTH = %d; };
        TOPKNOT_EMBEDDING(op, S)
        """
            .formatted(tokens, vocabulary, width);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            k -> {
              long run = run(k, valid, true, add);
              long y = k.empty((long) tokens * width);
              long dWeight = k.floats(before);
              long idList = k.ints(ids);
              int across = ceil(width, 128);
              k.launch(
                  "op_forward_rows",
                  ceil(tokens, 8),
                  across,
                  1,
                  256,
                  0,
                  run,
                  idList,
                  k.floats(weight),
                  y);
              k.launch(
                  "op_backward_clear", ceil(vocabulary * width, 1024), 1, 1, 256, 0, run, dWeight);
              k.launch(
                  "op_backward_sums",
                  ceil(tokens, 8),
                  across,
                  1,
                  256,
                  0,
                  run,
                  idList,
                  k.floats(dy),
                  dWeight);
              k.result("y", y, tokens * width);
              k.result("dWeight", dWeight, vocabulary * width);
            });

    CpuContext context = CpuValues.context(Options.defaults());
    Run run = CpuValues.run(tokens, valid, add);
    try (CpuValues cpu = new CpuValues()) {
      Embedding op = new Embedding(context, "", tokens, vocabulary, width);
      Ints idList = cpu.ints(ids);
      Matrix y = cpu.empty(tokens, width);
      Matrix dWeight = cpu.floats(before, vocabulary, width);
      op.forward(run, idList, cpu.floats(weight, vocabulary, width), y);
      op.backward(run, idList, cpu.floats(dy, tokens, width), dWeight);
      assertThat(results.get("y")).isEqualTo(CpuValues.read(y));
      assertThat(results.get("dWeight")).isEqualTo(CpuValues.read(dWeight));
    }
  }

  @ParameterizedTest
  @CsvSource({"1, 1", "300, 299", "1000, 1000", "5, 0"})
  void loss(int tokens, int valid) {
    float[] losses = poisoned(random(1, tokens, 9), valid, 1);
    double sum = 0;
    for (int i = 0; i < valid; i++) {
      sum += losses[i];
    }
    double expected = sum;
    String source = "#include \"topknot/loss.cuh\"\nTOPKNOT_LOSS(op, S)\n";
    Kernels.everywhere(
        source,
        k -> {
          long run = run(k, valid, true, false);
          k.launch("op_forward_total", 1, 1, 1, 256, 2048, run, k.floats(losses));
          assertThat(new Pointer(run).getDouble(72)).isCloseTo(expected, within(1e-9));
          assertThat(new Pointer(run).getInt(28)).isZero();
          if (valid > 0) {
            float[] bad = losses.clone();
            bad[valid - 1] = Float.POSITIVE_INFINITY;
            k.launch("op_forward_total", 1, 1, 1, 256, 2048, run, k.floats(bad));
            assertThat(new Pointer(run).getInt(28)).isEqualTo(1);
          }
        });
  }

  /** Two steps, the second tensor of three frozen in the second case; the CPU's values. */
  @ParameterizedTest
  @CsvSource({
    "Infinity, false, 1",
    "3, false, 1",
    "3, true, 1",
    "Infinity, false, 1e25",
    "Infinity, false, 0"
  })
  void adam(double clip, boolean frozen, float scale) {
    Layout layout =
        Layout.of(
            "Test",
            List.of(
                new Layout.Entry("a", "weight", 1, 41, 7, 0, Init.ZERO, 0),
                new Layout.Entry("b", "experts.*.w1", 3, 130, 64, 320, Init.ZERO, 1)));
    int size = Math.toIntExact(layout.size());
    float[] start = masked(layout, random(1, size, 0.01));
    List<float[]> gradients =
        List.of(masked(layout, random(2, size, scale)), masked(layout, random(3, size, scale)));
    if (frozen) { // what is frozen is not looked at
      Layout.Slice slice = layout.slices().get(2);
      for (float[] g : gradients) {
        Arrays.fill(g, (int) slice.offset(), (int) (slice.offset() + slice.size()), Float.NaN);
      }
    }
    List<Layout.Slice> slices = layout.slices();
    int[] table = new int[2 * (slices.size() + 1) + slices.size()];
    for (int s = 0; s < slices.size(); s++) {
      table[2 * s] = (int) slices.get(s).offset();
    }
    table[2 * slices.size()] = size;
    table[2 * slices.size() + 2 + 2] = frozen ? 1 : 0;
    Update constants = Update.of(0.01).withClip(clip);
    int chunks = ceil(size, 16384);
    String source =
        """
        #include "topknot/adam.cuh"
        struct S { static constexpr long long SIZE = %d; };
        TOPKNOT_ADAM(op, S)
        """
            .formatted(size);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            k -> {
              long p = k.floats(start);
              long m = k.floats(new float[size]);
              long v = k.floats(new float[size]);
              long list = k.ints(table);
              for (int step = 0; step < gradients.size(); step++) {
                long run = update(k, constants, step, frozen);
                long g = k.floats(gradients.get(step));
                long squares = k.empty(2L * chunks);
                k.launch(
                    "op_norm_squares",
                    chunks,
                    1,
                    1,
                    256,
                    2048,
                    run,
                    g,
                    list,
                    slices.size(),
                    squares);
                k.launch("op_norm_total", 1, 1, 1, 256, 2048, run, squares);
                assertThat(new Pointer(run).getInt(28)).isZero();
                k.launch(
                    "op_update_step", chunks, 1, 1, 256, 0, run, p, g, m, v, list, slices.size());
              }
              k.result("p", p, size);
              k.result("m", m, size);
              k.result("v", v, size);
              // a gradient that is not finite: the status says so, and nothing moves
              float[] bad = gradients.get(0).clone();
              bad[size - 1] = Float.NaN;
              long run = update(k, constants, 2, false);
              long g = k.floats(bad);
              long squares = k.empty(2L * chunks);
              k.launch(
                  "op_norm_squares", chunks, 1, 1, 256, 2048, run, g, list, slices.size(), squares);
              k.launch("op_norm_total", 1, 1, 1, 256, 2048, run, squares);
              assertThat(new Pointer(run).getInt(28)).isEqualTo(2);
              float[] kept = k.read(p, size);
              k.launch(
                  "op_update_step", chunks, 1, 1, 256, 0, run, p, g, m, v, list, slices.size());
              assertThat(k.read(p, size)).isEqualTo(kept);
            });

    try (CpuValues cpu = new CpuValues()) {
      Adam adam = new Adam(CpuAccess.context(1, Options.defaults(), layout));
      Run run = CpuAccess.run(1, layout);
      Matrix p = cpu.floats(start, 1, size);
      Matrix m = cpu.floats(new float[size], 1, size);
      Matrix v = cpu.floats(new float[size], 1, size);
      for (int step = 0; step < gradients.size(); step++) {
        float[] g = gradients.get(step).clone();
        if (frozen) { // as if it had no gradient: its moments stay zero, and so does its change
          Layout.Slice slice = slices.get(2);
          Arrays.fill(g, (int) slice.offset(), (int) (slice.offset() + slice.size()), 0);
        }
        Matrix gs = cpu.floats(g, 1, size);
        CpuAccess.update(run, constants, step);
        adam.norm(run, gs);
        adam.update(run, p, gs, m, v);
      }
      assertClose("p", results.get("p"), rows(p, 1));
      assertClose("m", results.get("m"), rows(m, 1));
      assertClose("v", results.get("v"), rows(v, 1));
    }
  }

  /**
   * Two steps over matrices of one tile and of several down and across, of one row and of one
   * column, the second tensor frozen in the second case; the CPU's values.
   */
  @ParameterizedTest
  @CsvSource({"Infinity, false, 1", "3, true, 1", "Infinity, false, 1e25", "Infinity, false, 0"})
  void adamFactored(double clip, boolean frozen, float scale) {
    Layout layout =
        Layout.of(
            "Test",
            List.of(
                new Layout.Entry("a", "weight", 1, 41, 7, 0, Init.ZERO, 0),
                new Layout.Entry("b", "experts.*.w1", 3, 258, 5, 320, Init.ZERO, 1),
                new Layout.Entry("c", "weight", 1, 3, 515, 4_224, Init.ZERO, 2),
                new Layout.Entry("c", "bias", 1, 1, 9, 5_824, Init.ZERO, 2),
                new Layout.Entry("d", "tall", 1, 300, 1, 5_888, Init.ZERO, 3)));
    int size = Math.toIntExact(layout.size());
    float[] start = masked(layout, random(1, size, 0.01));
    List<float[]> gradients =
        List.of(masked(layout, random(2, size, scale)), masked(layout, random(3, size, scale)));
    Layout.Slice second = layout.slices().get(1);
    int from = Math.toIntExact(second.offset());
    int to = Math.toIntExact(second.offset() + second.size());
    if (frozen) { // what is frozen is not looked at
      gradients.forEach(g -> Arrays.fill(g, from, to, Float.NaN));
    }
    int count = layout.slices().size();
    int[] slices = new int[2 * (count + 1) + count];
    for (int s = 0; s < count; s++) {
      slices[2 * s] = Math.toIntExact(layout.slices().get(s).offset());
    }
    slices[2 * (count + 1) + 1] = frozen ? 1 : 0;
    // tile, slice, rowMeans, columnMeans, rowSums, columnSums, rows, columns
    int[][] matrices = {
      {0, 0, 0, 0, 0, 0, 41, 7},
      {1, 1, 41, 7, 41, 7, 258, 5},
      {7, 4, 815, 22, 815, 37, 3, 515},
      {9, 5, 818, 537, 821, 552, 1, 9},
      {10, 6, 819, 546, 822, 561, 300, 1},
      {12, 7, 1119, 547, 1122, 563, 0, 0}
    };
    int[] table =
        Arrays.stream(matrices)
            .flatMapToInt(Arrays::stream)
            .flatMap(value -> IntStream.of(value, 0))
            .toArray();
    Update constants = Update.of(0.01).withBetas(0, 0.99).withClip(clip);
    String source =
        """
        #include "topknot/adam_factored.cuh"
        struct S { static constexpr long long ROWS = 1119, COLUMNS = 547, TILES = 12; };
        TOPKNOT_ADAM_FACTORED(op, S)
        """;
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            k -> {
              long p = k.floats(start);
              long rows = k.floats(new float[1119]);
              long columns = k.floats(new float[547]);
              long list = k.ints(slices);
              long all = k.ints(table);
              for (int step = 0; step < 3; step++) {
                // a third gradient that is not finite: the status says so, and nothing moves
                float[] g = gradients.get(step % 2).clone();
                g[size - 20 - 64] = step == 2 ? Float.NaN : g[size - 20 - 64];
                long run = update(k, constants, step, frozen);
                long gs = k.floats(g);
                long rowSums = k.empty(2 * 1122);
                long columnSums = k.empty(2 * 563);
                long squares = k.empty(2 * 12);
                k.launch(
                    "op_norm_sums",
                    12,
                    1,
                    1,
                    256,
                    32768,
                    run,
                    gs,
                    all,
                    5,
                    list,
                    count,
                    rowSums,
                    columnSums,
                    squares);
                k.launch("op_norm_total", 1, 1, 1, 256, 2048, run, squares);
                assertThat(new Pointer(run).getInt(28)).isEqualTo(step == 2 ? 2 : 0);
                k.launch(
                    "op_update_means",
                    7,
                    1,
                    1,
                    256,
                    0,
                    run,
                    rows,
                    columns,
                    all,
                    5,
                    list,
                    count,
                    rowSums,
                    columnSums);
                k.launch(
                    "op_update_step",
                    12,
                    1,
                    1,
                    256,
                    2048,
                    run,
                    p,
                    gs,
                    rows,
                    columns,
                    all,
                    5,
                    list,
                    count);
              }
              k.result("p", p, size);
              k.result("rows", rows, 1119);
              k.result("columns", columns, 547);
            });

    try (CpuValues cpu = new CpuValues()) {
      AdamFactored adam = new AdamFactored(CpuAccess.context(1, Options.defaults(), layout));
      Run run = CpuAccess.run(1, layout);
      Matrix p = cpu.floats(start, 1, size);
      Matrix rows = cpu.floats(new float[1119], 1, 1119);
      Matrix columns = cpu.floats(new float[547], 1, 547);
      for (int step = 0; step < gradients.size(); step++) {
        float[] g = gradients.get(step).clone();
        if (frozen) { // as if it had no gradient: its means stay zero, and so does its change
          Arrays.fill(g, from, to, 0);
        }
        Matrix gs = cpu.floats(g, 1, size);
        CpuAccess.update(run, constants, step);
        adam.norm(run, gs);
        adam.update(run, p, gs, rows, columns);
      }
      assertClose("p", results.get("p"), rows(p, 1));
      assertClose("rows", results.get("rows"), rows(rows, 1));
      assertClose("columns", results.get("columns"), rows(columns, 1));
    }
  }

  /** A record as the runtime fills it for the optimizer. */
  static long update(Kernels k, Update update, int step, boolean frozen) {
    long run = k.run(0, true, false, 0, true);
    Pointer record = new Pointer(run);
    record.setFloat(32, (float) update.beta1());
    record.setFloat(36, (float) (1 - update.beta1()));
    record.setFloat(40, (float) update.beta2());
    record.setFloat(44, (float) (1 - update.beta2()));
    record.setFloat(48, (float) (update.rate() / (1 - Math.pow(update.beta1(), step + 1))));
    record.setFloat(52, (float) (1 / Math.sqrt(1 - Math.pow(update.beta2(), step + 1))));
    record.setFloat(56, (float) update.epsilon());
    record.setFloat(60, 1);
    record.setDouble(64, update.clip());
    record.setInt(88, frozen ? 1 : 0);
    return run;
  }

  private static long run(Kernels k, int valid, boolean training, boolean add) {
    long run = k.run(valid, training, add, 0, false);
    new Pointer(run).setLong(0, CpuValues.SEED);
    new Pointer(run).setInt(8, CpuValues.STEP);
    new Pointer(run).setInt(16, CpuValues.FIRST_TOKEN);
    return run;
  }

  /** Zero between the tensors. */
  private static float[] masked(Layout layout, float[] values) {
    float[] result = new float[values.length];
    for (Layout.Slice slice : layout.slices()) {
      int from = Math.toIntExact(slice.offset());
      System.arraycopy(values, from, result, from, Math.toIntExact(slice.size()));
    }
    return result;
  }
}
