package dev.topknot.it.cuda;

import static dev.topknot.it.cuda.Kernels.random;
import static dev.topknot.it.cuda.Reference.doubles;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.jna.Pointer;
import dev.topknot.runtime.Update;
import java.util.Arrays;
import org.assertj.core.data.Offset;
import org.assertj.core.data.Percentage;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Experts whose weights lie behind 2^31 elements, and parameters behind 2^32: of tens of gigabytes
 * only the pages that are touched exist.
 */
@Tag("emulator")
class LargeOffsetsTest {
  private static final int TOKENS = 2;
  private static final int K = 2;
  private static final int EXPERTS = 4100;
  private static final int WIDTH = 512;
  private static final int HIDDEN = 1024;
  private static final int PAIRS = TOKENS * K;
  private static final long WEIGHTS = (long) HIDDEN * WIDTH; // of one expert in one matrix
  private static final long SIZE = 2 * EXPERTS * WEIGHTS;
  private static final int SHARED = 17408;
  private static final int GATED_SHARED = SHARED + 256;
  private static final int ADAM_CHUNK = 16384;
  private static final double RATE = 0.01;

  private static final String SOURCE =
      """
      #include "topknot/adam_factored.cuh"
      #include "topknot/experts.cuh"
      struct S {
        using Tile = Fp32Tile;
        static constexpr int TOKENS = %d, K = %d, EXPERTS = %d, WIDTH = %d, HIDDEN = %d;
        static constexpr Activation ACTIVATION = RELU;
        static constexpr long long SIZE = %dll;
      };
      TOPKNOT_EXPERTS(experts, S)
      // The last blocks of the grid alone.
      TOPKNOT_KERNEL(ADAM_THREADS) last_squares(Run* run, const float* gradients,
                                                const long long* slices, double* squares,
                                                long long first) {
        blockIdx.x += first;
        adamSquares<S>(run, gradients, slices, 1, squares);
      }
      TOPKNOT_KERNEL(ADAM_THREADS) last_steps(Run* run, float* parameters, float* gradients,
                                              float* m, float* v, const long long* slices,
                                              long long first) {
        blockIdx.x += first;
        adamStep<S>(run, parameters, gradients, m, v, slices, 1);
      }
      TOPKNOT_KERNEL(ADAM_THREADS) last_sums(Run* run, const float* gradients,
                                             const Matrices* matrices, const long long* slices,
                                             double* rowSums, double* columnSums, double* squares,
                                             long long first) {
        blockIdx.x += first;
        factoredSums(run, gradients, matrices, 1, slices, 1, rowSums, columnSums, squares);
      }
      TOPKNOT_KERNEL(ADAM_THREADS) last_tiles(Run* run, float* parameters, const float* gradients,
                                              const float* rows, const float* columns,
                                              const Matrices* matrices, const long long* slices,
                                              long long first) {
        blockIdx.x += first;
        factoredStep(run, parameters, gradients, rows, columns, matrices, 1, slices, 1);
      }
      """
          .formatted(TOKENS, K, EXPERTS, WIDTH, HIDDEN, SIZE);

  /** Experts of the slots, which are sorted by expert, and their tokens. */
  private static final int[] EXPERT = {0, 4098, 4099, 4099};

  private static final int[] ROWS = {0, 1, 0, 1};
  private static final int[] SLOTS = {0, 2, 1, 3};

  private static long expert(long matrix, int expert) {
    return matrix + Float.BYTES * WEIGHTS * expert;
  }

  private static double[] row(double[] matrix, int row, int columns) {
    return Arrays.copyOfRange(matrix, row * columns, (row + 1) * columns);
  }

  private static double[] scaled(double[] values, double factor) {
    return Arrays.stream(values).map(v -> factor * v).toArray();
  }

  @Test
  void experts() {
    Kernels.once(SOURCE, LargeOffsetsTest::experts);
  }

  private static void experts(Kernels k) {
    int[] offsets = new int[EXPERTS + 1];
    for (int e = 0; e <= EXPERTS; e++) {
      int number = e;
      offsets[e] = (int) Arrays.stream(EXPERT).filter(i -> i < number).count();
    }
    long run = k.run(TOKENS, true, true, 0, false);
    float[] xs = random(1, TOKENS * WIDTH, 1);
    float[] dys = random(2, TOKENS * WIDTH, 1);
    float[] gateValues = {0.25f, 0.75f, 0.5f, 0.5f}; // of the pairs
    long x = k.floats(xs);
    long dy = k.floats(dys);
    long gates = k.floats(gateValues);
    long offset = k.ints(offsets);
    long rows = k.ints(ROWS);
    long slots = k.ints(SLOTS);
    long w1 = k.empty(EXPERTS * WEIGHTS);
    long w2 = k.empty(EXPERTS * WEIGHTS);
    long dW1 = k.empty(EXPERTS * WEIGHTS);
    long dW2 = k.empty(EXPERTS * WEIGHTS);
    double[][] first = new double[EXPERTS][];
    double[][] second = new double[EXPERTS][];
    for (int e : EXPERT) {
      float[] a = random(10 + e, (int) WEIGHTS, 1.0 / 16);
      float[] b = random(20000 + e, (int) WEIGHTS, 1.0 / 16);
      new Pointer(expert(w1, e)).write(0, a, 0, a.length);
      new Pointer(expert(w2, e)).write(0, b, 0, b.length);
      first[e] = doubles(a);
      second[e] = doubles(b);
    }
    long hidden = k.empty(PAIRS * HIDDEN);
    long out = k.empty(PAIRS * WIDTH);
    long dHidden = k.empty(PAIRS * HIDDEN);
    long activation = k.empty(PAIRS * HIDDEN);
    long parts = k.empty(HIDDEN / 64 * PAIRS);
    long dGates = k.empty(PAIRS);
    long dOut = k.empty(PAIRS * WIDTH);

    k.launch(
        "experts_forward_hidden",
        PAIRS,
        HIDDEN / 64,
        1,
        256,
        SHARED,
        x,
        offset,
        rows,
        w1,
        hidden,
        hidden);
    k.launch(
        "experts_forward_output", PAIRS, WIDTH / 64, 1, 256, SHARED, hidden, offset, rows, w2, out);
    k.launch(
        "experts_backward_hidden",
        PAIRS,
        HIDDEN / 64,
        1,
        256,
        GATED_SHARED,
        offset,
        rows,
        slots,
        gates,
        dy,
        w2,
        hidden,
        dHidden,
        activation,
        parts);
    k.launch("experts_backward_gates", 1, 1, 1, 256, 0, run, slots, parts, dGates);
    k.launch(
        "experts_backward_input",
        PAIRS,
        WIDTH / 64,
        1,
        256,
        SHARED,
        offset,
        rows,
        dHidden,
        w1,
        dOut);
    k.launch(
        "experts_backward_w1",
        HIDDEN / 64,
        WIDTH / 64,
        EXPERTS,
        256,
        SHARED,
        run,
        offset,
        rows,
        dHidden,
        x,
        dW1);
    k.launch(
        "experts_backward_w2",
        WIDTH / 64,
        HIDDEN / 64,
        EXPERTS,
        256,
        SHARED,
        run,
        offset,
        rows,
        dy,
        activation,
        dW2);

    double[][] dFirst = new double[EXPERTS][];
    double[][] dSecond = new double[EXPERTS][];
    for (int slot = 0; slot < PAIRS; slot++) {
      int e = EXPERT[slot];
      int pair = Arrays.stream(SLOTS).boxed().toList().indexOf(slot);
      double gate = gateValues[pair];
      double[] in = row(doubles(xs), ROWS[slot], WIDTH);
      double[] dIn = row(doubles(dys), ROWS[slot], WIDTH);
      double[] a = Reference.nt(in, first[e], 1, HIDDEN, WIDTH);
      double[] dA = Reference.nn(dIn, second[e], 1, HIDDEN, WIDTH);
      double dGate = 0;
      double[] d = new double[HIDDEN];
      for (int i = 0; i < HIDDEN; i++) {
        d[i] = a[i] > 0 ? gate * dA[i] : 0;
        a[i] = Math.max(0, a[i]);
        dGate += a[i] * dA[i];
      }
      close("hidden", k.read(hidden + 4L * slot * HIDDEN, HIDDEN), a);
      close(
          "out",
          k.read(out + 4L * slot * WIDTH, WIDTH),
          Reference.nt(a, second[e], 1, WIDTH, HIDDEN));
      close("dHidden", k.read(dHidden + 4L * slot * HIDDEN, HIDDEN), d);
      close("dGate", k.read(dGates + 4L * pair, 1), new double[] {dGate});
      close(
          "dOut",
          k.read(dOut + 4L * slot * WIDTH, WIDTH),
          Reference.nn(d, first[e], 1, WIDTH, HIDDEN));
      dFirst[e] = added(dFirst[e], Reference.tn(d, in, HIDDEN, WIDTH, 1));
      dSecond[e] = added(dSecond[e], Reference.tn(dIn, scaled(a, gate), WIDTH, HIDDEN, 1));
    }
    for (int e : EXPERT) {
      close("dW1", k.read(expert(dW1, e), (int) WEIGHTS), dFirst[e]);
      close("dW2", k.read(expert(dW2, e), (int) WEIGHTS), dSecond[e]);
    }
    for (int e : new int[] {1, 3, 4097}) { // where offsets of 32 bits would lead
      assertThat(k.read(expert(dW1, e), (int) WEIGHTS)).as("dW1 of expert %d", e).containsOnly(0);
      assertThat(k.read(expert(dW2, e), (int) WEIGHTS)).as("dW2 of expert %d", e).containsOnly(0);
    }
  }

  private static double[] added(double[] sum, double[] more) {
    return sum == null ? more : Reference.add(sum, more);
  }

  private static void close(String name, float[] actual, double[] expected) {
    Kernels.assertClose(name, actual, expected);
  }

  /** The last chunks of all parameters, which are those of the last experts. */
  @Test
  void adam() {
    Kernels.once(SOURCE, LargeOffsetsTest::adam);
  }

  private static void adam(Kernels k) {
    int blocks = 3;
    int count = blocks * ADAM_CHUNK;
    long first = SIZE / ADAM_CHUNK - blocks;
    long tail = Float.BYTES * ADAM_CHUNK * first;
    float[] p = random(1, count, 1);
    float[] g = random(2, count, 1);
    long parameters = k.empty(SIZE);
    long gradients = k.empty(SIZE);
    long firstMoments = k.empty(SIZE);
    long secondMoments = k.empty(SIZE);
    long squares = k.empty(2 * SIZE / ADAM_CHUNK);
    new Pointer(parameters + tail).write(0, p, 0, count);
    new Pointer(gradients + tail).write(0, g, 0, count);
    long run = ModelKernelsTest.update(k, Update.of(RATE), 0, false);
    new Pointer(run).setDouble(80, 1); // the norm
    long slices = k.empty(6); // not read: nothing is frozen
    k.launch("last_squares", blocks, 1, 1, 256, 2048, run, gradients, slices, squares, first);
    k.launch(
        "last_steps",
        blocks,
        1,
        1,
        256,
        0,
        run,
        parameters,
        gradients,
        firstMoments,
        secondMoments,
        slices,
        first);

    double[] sums = new double[blocks];
    double[] m = new double[count];
    double[] v = new double[count];
    double[] moved = new double[count];
    for (int i = 0; i < count; i++) {
      sums[i / ADAM_CHUNK] += (double) g[i] * g[i];
      m[i] = 0.1 * g[i];
      v[i] = 0.001 * g[i] * g[i];
      moved[i] = p[i] - RATE * g[i] / (Math.abs(g[i]) + 1e-8);
    }
    for (int block = 0; block < blocks; block++) {
      assertThat(new Pointer(squares).getDouble(Double.BYTES * (first + block)))
          .isCloseTo(sums[block], Percentage.withPercentage(1e-10));
    }
    close("m", k.read(firstMoments + tail, count), m);
    close("v", k.read(secondMoments + tail, count), v);
    close("p", k.read(parameters + tail, count), moved);
  }

  /** The last tile of a table that all parameters are in, two tiles wide. */
  @Test
  void adamFactored() {
    Kernels.once(SOURCE, LargeOffsetsTest::adamFactored);
  }

  private static void adamFactored(Kernels k) {
    int columns = 1024;
    int width = 512;
    int height = 256;
    long rows = SIZE / columns;
    long down = rows / height;
    long last = 2 * down - 1;
    long begin = SIZE - (long) height * columns + width; // of the last tile
    float[] p = random(1, height * columns, 1);
    float[] g = random(2, height * columns, 1);
    long parameters = k.empty(SIZE);
    long gradients = k.empty(SIZE);
    long rowMeans = k.empty(rows);
    long columnMeans = k.floats(new float[columns]);
    long rowSums = k.empty(2 * 2 * rows);
    long columnSums = k.empty(2 * down * columns);
    long squares = k.empty(2 * (last + 1));
    int count = (height - 1) * columns + width;
    new Pointer(parameters + Float.BYTES * begin).write(0, p, 0, count);
    new Pointer(gradients + Float.BYTES * begin).write(0, g, 0, count);
    long matrices = k.ints(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (int) rows, 0, columns, 0);
    long slices = k.ints(0, 0, 0, 0, 0);
    float[] ofRows = new float[height];
    Arrays.fill(ofRows, 2);
    new Pointer(rowMeans + Float.BYTES * (rows - height)).write(0, ofRows, 0, height);
    float[] ofColumns = new float[columns];
    Arrays.fill(ofColumns, 2);
    new Pointer(columnMeans).write(0, ofColumns, 0, columns);
    long run = ModelKernelsTest.update(k, Update.of(RATE).withBetas(0, 0), 0, false);
    new Pointer(run).setDouble(80, 1); // the norm
    k.launch(
        "last_sums",
        1,
        1,
        1,
        256,
        32768,
        run,
        gradients,
        matrices,
        slices,
        rowSums,
        columnSums,
        squares,
        last);
    k.launch(
        "last_tiles",
        1,
        1,
        1,
        256,
        2048,
        run,
        parameters,
        gradients,
        rowMeans,
        columnMeans,
        matrices,
        slices,
        last);

    double[] inRow = new double[height];
    double[] inColumn = new double[width];
    double[] moved = new double[count];
    for (int i = 0; i < count; i++) {
      boolean inside = i % columns < width;
      double square = inside ? (double) g[i] * g[i] : 0;
      if (inside) {
        inRow[i / columns] += square;
        inColumn[i % columns] += square;
      }
      moved[i] = inside ? p[i] - RATE * g[i] / (Math.sqrt(2) + 1e-8) : p[i];
    }
    double[] actualRows =
        new Pointer(rowSums + Double.BYTES * (2 * rows - height)).getDoubleArray(0, height);
    double[] actualColumns =
        new Pointer(columnSums + Double.BYTES * (down * columns - width)).getDoubleArray(0, width);
    assertThat(actualRows).containsExactly(inRow, Offset.offset(1e-9));
    assertThat(actualColumns).containsExactly(inColumn, Offset.offset(1e-9));
    close("p", k.read(parameters + Float.BYTES * begin, count), moved);
  }
}
