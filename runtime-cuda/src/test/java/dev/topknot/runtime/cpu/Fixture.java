package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.program.Layout;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.ToDoubleFunction;

/** What the tests of operations share: contexts, runs, operands, comparisons, differences. */
final class Fixture {
  static final int STEP = 3;
  static final long SEED = 42;
  static final int FIRST_TOKEN = 5;

  private static final Layout EMPTY = Layout.of("Test", List.of());

  private Fixture() {}

  static CpuContext context(int threads) {
    return context(threads, Options.defaults(), EMPTY);
  }

  static CpuContext context(int threads, Options options, Layout layout) {
    return new CpuContext(Cpu.of(threads), options, layout, null, null, Map.of(), null, null);
  }

  /** A training run of so many valid tokens whose gradients overwrite. */
  static Run run(int tokens, int valid) {
    Run run = new Run(tokens, EMPTY, new BitSet());
    run.train(valid, STEP, SEED, FIRST_TOKEN);
    run.add(false);
    return run;
  }

  static Matrix zeros(int rows, int columns) {
    return Arena.allocate((long) rows * columns).matrix(0, rows, columns);
  }

  static Matrix poisoned(int rows, int columns) {
    Matrix matrix = zeros(rows, columns);
    matrix.fill(Float.NaN);
    return matrix;
  }

  /** Normal values times a scale. */
  static Matrix random(Random random, int rows, int columns, double scale) {
    Matrix matrix = zeros(rows, columns);
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < columns; c++) {
        matrix.set(r, c, (float) (scale * random.nextGaussian()));
      }
    }
    return matrix;
  }

  static Matrix copy(Matrix from) {
    Matrix to = zeros((int) from.rows(), (int) from.columns());
    to.copyFrom(from);
    return to;
  }

  /** A copy whose rows from {@code valid} on hold NaN: nobody may read them. */
  static Matrix valid(Matrix from, int valid) {
    Matrix to = copy(from);
    for (int r = valid; r < to.rows(); r++) {
      for (int c = 0; c < to.columns(); c++) {
        to.set(r, c, Float.NaN);
      }
    }
    return to;
  }

  static Ints ints(int... values) {
    Ints ints = Arena.allocate(values.length).ints(0, values.length);
    ints.write(0, values, 0, values.length);
    return ints;
  }

  static int[] randomIds(Random random, int count, int below) {
    return random.ints(count, 0, below).toArray();
  }

  static float[] floats(Matrix matrix) {
    float[] values = new float[(int) matrix.size()];
    matrix.read(0, values, 0, values.length);
    return values;
  }

  static double[] doubles(Matrix matrix) {
    float[] values = floats(matrix);
    double[] doubles = new double[values.length];
    Arrays.setAll(doubles, i -> values[i]);
    return doubles;
  }

  /**
   * The first rows agree with what is expected within 1e-5 of its norm, and the rows after them
   * still hold the NaN that they were poisoned with.
   */
  static void assertRows(double[] expected, Matrix actual, int rows) {
    int columns = (int) actual.columns();
    double[] got = doubles(actual);
    assertNear(Arrays.copyOf(expected, rows * columns), Arrays.copyOf(got, rows * columns));
    for (int i = rows * columns; i < got.length; i++) {
      assertThat(got[i]).as("row %d after the valid ones", i / columns).isNaN();
    }
  }

  static void assertNear(double[] expected, Matrix actual) {
    assertNear(expected, doubles(actual));
  }

  private static void assertNear(double[] expected, double[] actual) {
    assertThat(actual).hasSameSizeAs(expected);
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
    assertThat(Math.sqrt(difference))
        .as("norm of the difference, of %s and %s", head(expected), head(actual))
        .isLessThanOrEqualTo(1e-5 * Math.sqrt(norm) + 1e-12);
  }

  private static String head(double[] values) {
    return Arrays.toString(Arrays.copyOf(values, Math.min(8, values.length)));
  }

  static void assertSameBits(Matrix expected, Matrix actual) {
    assertThat(floats(actual)).containsExactly(floats(expected));
  }

  /** Central differences of f at x. */
  static double[] gradient(ToDoubleFunction<double[]> f, double[] x) {
    double[] at = x.clone();
    double[] gradient = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      double step = 1e-5;
      at[i] = x[i] + step;
      double above = f.applyAsDouble(at);
      at[i] = x[i] - step;
      gradient[i] = (above - f.applyAsDouble(at)) / (2 * step);
      at[i] = x[i];
    }
    return gradient;
  }

  /** a [m, k] · bᵀ, b stored as [n, k]. */
  static double[] timesTransposed(double[] a, double[] b, int m, int n, int k) {
    double[] c = new double[m * n];
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        for (int p = 0; p < k; p++) {
          c[i * n + j] += a[i * k + p] * b[j * k + p];
        }
      }
    }
    return c;
  }

  /** The inner product of the first {@code count} values. */
  static double dot(double[] a, double[] b, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }
}
