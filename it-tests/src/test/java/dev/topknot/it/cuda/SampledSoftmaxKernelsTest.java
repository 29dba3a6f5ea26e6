package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.Kernels.assertClose;
import static dev.topknot.it.cuda.Kernels.ceil;
import static dev.topknot.it.cuda.Kernels.random;
import static dev.topknot.it.cuda.Reference.doubles;
import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.reference.Gradients;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.Products;
import dev.topknot.it.reference.SampledSoftmaxLoss;
import dev.topknot.runtime.cpu.LogUniform;
import dev.topknot.runtime.cpu.Noise;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The kernels of a sampled softmax: the CPU's candidates to the bit, and what follows from them.
 */
@Tag("emulator")
class SampledSoftmaxKernelsTest {
  private static final int SHARED = 17408;
  private static final int LAYER = 5;

  @ParameterizedTest
  @CsvSource({
    // tokens, valid, width, vocabulary, samples, add
    "3, 3, 20, 33, 9, false",
    "70, 66, 13, 5000, 100, false",
    "70, 66, 13, 1500, 70, true",
    "40, 40, 4, 12, 11, false",
    "1, 1, 5, 2, 1, false",
    "9, 0, 8, 40, 12, false",
  })
  void sampledSoftmax(int tokens, int valid, int width, int vocabulary, int samples, boolean add) {
    float[] x = random(1, tokens * width, 1);
    float[] w = random(2, vocabulary * width, 0.5);
    float[] b = random(3, vocabulary, 1);
    float[] before = random(4, vocabulary * width, 1);
    int[] targets = IntStream.range(0, tokens).map(i -> i * 31 % vocabulary).toArray();
    int[] candidates = new int[samples];
    LogUniform law = new LogUniform(vocabulary);
    law.draw(0, 0, 0, Noise.stream(LAYER, Noise.Purpose.SAMPLE, 0), candidates);
    if (samples == 1) {
      Arrays.fill(targets, candidates[0]); // so that nothing is left beside the target
    }
    int[] counts = new int[vocabulary];
    Arrays.stream(candidates).forEach(id -> counts[id]++);
    int[] classes =
        IntStream.concat(Arrays.stream(candidates), Arrays.stream(targets).limit(valid))
            .distinct()
            .sorted()
            .toArray();
    SampledSoftmaxLoss.Forward reference =
        new SampledSoftmaxLoss(
                Matrix.of(vocabulary, width, w),
                Matrix.of(1, vocabulary, b),
                Arrays.stream(candidates).boxed().toList(),
                id -> samples * law.probability(id),
                Products.EXACT)
            .forward(Matrix.of(valid, width, x), Arrays.copyOf(targets, valid));
    Gradients gradients = reference.backward();

    String source =
        """
            #include "topknot/sampled_softmax_loss.cuh"
            struct S {
              using Tile = Fp32Tile;
              static constexpr int TOKENS = %d, WIDTH = %d, VOCABULARY = %d, SAMPLES = %d;
              static constexpr int STREAM_LAYER = %d;
            };
            TOPKNOT_SAMPLED_SOFTMAX_LOSS(op, S)
            """
            .formatted(tokens, width, vocabulary, samples, LAYER);
    int most = Math.min(samples + tokens, vocabulary);
    int rows = ceil(tokens, 64);
    int columns = ceil(most, 64);
    int wide = ceil(width, 64);
    int chunks = ceil(vocabulary, 1024);
    Map<String, float[]> results =
        Kernels.everywhere(
            source,
            tokens == 3,
            k -> {
              long run = k.run(valid, true, add, 0, false);
              long xs = k.floats(x);
              long ws = k.floats(w);
              long bs = k.floats(b);
              long ts = k.ints(targets);
              long cumulative = k.empty(vocabulary);
              long draws = k.empty(vocabulary);
              long places = k.empty(vocabulary);
              long chunkCounts = k.empty(chunks);
              long ids = k.empty(most);
              long count = k.empty(1);
              long offsets = k.empty(most);
              long drawn = k.empty(most);
              long gathered = k.empty((long) most * width);
              long logits = k.empty((long) tokens * most);
              long losses = k.empty(tokens);
              int blocks = ceil(vocabulary, 256);
              k.launch("op_forward_table", blocks, 1, 1, 256, 0, cumulative, draws, places);
              int drawing = ceil(samples + tokens, 256);
              k.launch(
                  "op_forward_draw", drawing, 1, 1, 256, 0, run, ts, cumulative, draws, places);
              k.launch("op_forward_counts", chunks, 1, 1, 256, 64, draws, places, chunkCounts);
              k.launch(
                  "op_forward_classes",
                  chunks,
                  1,
                  1,
                  256,
                  64 + 1024,
                  bs,
                  cumulative,
                  draws,
                  chunkCounts,
                  places,
                  ids,
                  count,
                  offsets,
                  drawn);
              int gathering = ceil(most, 8);
              k.launch(
                  "op_forward_rows",
                  gathering,
                  ceil(width, 128),
                  1,
                  256,
                  0,
                  ws,
                  ids,
                  count,
                  gathered);
              k.launch(
                  "op_forward_logits",
                  rows,
                  columns,
                  1,
                  256,
                  SHARED,
                  run,
                  xs,
                  gathered,
                  count,
                  offsets,
                  logits);
              k.launch(
                  "op_forward_loss",
                  tokens,
                  1,
                  1,
                  256,
                  64,
                  run,
                  ts,
                  count,
                  places,
                  drawn,
                  logits,
                  losses);
              k.result("draws", draws, vocabulary);
              k.result("count", count, 1);
              k.result("classes", ids, classes.length);
              k.result("losses", losses, tokens);
              long dx = k.empty((long) tokens * width);
              long dw = k.floats(before);
              long db = k.floats(b);
              int table = ceil(vocabulary * width, 1024);
              k.launch("op_backward_clear", table, 1, 1, 256, 0, run, dw, db);
              k.launch(
                  "op_backward_input",
                  rows,
                  wide,
                  1,
                  256,
                  SHARED,
                  run,
                  logits,
                  gathered,
                  count,
                  dx);
              k.launch(
                  "op_backward_weight",
                  columns,
                  wide,
                  1,
                  256,
                  SHARED,
                  run,
                  logits,
                  xs,
                  ids,
                  count,
                  dw);
              k.launch(
                  "op_backward_bias", ceil(most, 32), 1, 1, 256, 1024, run, logits, ids, count, db);
              k.result("dx", dx, tokens * width);
              k.result("dw", dw, vocabulary * width);
              k.result("db", db, vocabulary);
            });
    assertThat(bits(results.get("draws"))).isEqualTo(counts);
    assertThat(bits(results.get("count"))).containsExactly(classes.length);
    assertThat(bits(results.get("classes"))).isEqualTo(classes);
    double loss = 0;
    for (int i = 0; i < valid; i++) {
      loss += results.get("losses")[i];
    }
    assertClose(
        "loss",
        new float[] {(float) loss},
        new double[] {valid == 0 ? 0 : valid * reference.meanLoss()});
    assertClose("dx", results.get("dx"), gradients.x().data());
    double[] dw = gradients.get("weights").data();
    double[] db = gradients.get("bias").data();
    assertClose("dw", results.get("dw"), add ? Reference.add(dw, doubles(before)) : dw);
    assertClose("db", results.get("db"), add ? Reference.add(db, doubles(b)) : db);
  }

  private static int[] bits(float[] values) {
    int[] bits = new int[values.length];
    Arrays.setAll(bits, i -> Float.floatToRawIntBits(values[i]));
    return bits;
  }
}
