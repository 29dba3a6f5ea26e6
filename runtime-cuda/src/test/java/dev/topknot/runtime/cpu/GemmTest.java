package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class GemmTest {
  private static final Arena ARENA = Arena.allocate(1 << 22);
  private static final boolean[] BOTH = {false, true};

  static Stream<Gemm> gemms() {
    return Stream.of(Gemm.best(), new JavaGemm());
  }

  @AfterAll
  static void close() {
    ARENA.close();
  }

  /** oneDNN must load on the platform that its natives are shipped for. */
  @Test
  void bestIsOneDnnOnLinux() {
    boolean shipped =
        System.getProperty("os.name").equals("Linux")
            && System.getProperty("os.arch").equals("amd64");
    assertThat(Gemm.best() instanceof OneDnnGemm).isEqualTo(shipped);
  }

  @ParameterizedTest
  @MethodSource("gemms")
  void multipliesLikeDouble(Gemm gemm) {
    int[][] shapes = {
      {1, 1, 1},
      {1, 300, 70},
      {2, 5, 7},
      {3, 17, 129},
      {16, 64, 512},
      {33, 257, 130},
      {65, 4, 300},
      {100, 31, 3},
      {5, 7, 0},
      {0, 3, 4},
      {4, 0, 3}
    };
    Random random = new Random(1);
    for (int[] shape : shapes) {
      for (boolean transposeA : BOTH) {
        for (boolean transposeB : BOTH) {
          check(gemm, transposeA, transposeB, shape[0], shape[1], shape[2], 1, 0, random);
          check(gemm, transposeA, transposeB, shape[0], shape[1], shape[2], 0.5f, 1, random);
          check(gemm, transposeA, transposeB, shape[0], shape[1], shape[2], -2, 0.25f, random);
        }
      }
    }
  }

  /** Operands with offsets and strides; what lies between C's rows must stay. */
  private static void check(
      Gemm gemm,
      boolean transposeA,
      boolean transposeB,
      int m,
      int n,
      int k,
      float alpha,
      float beta,
      Random random) {
    int lda = Math.max(1, transposeA ? m : k) + 3;
    int ldb = Math.max(1, transposeB ? k : n) + 5;
    int ldc = Math.max(1, n) + 2;
    Matrix a = fill(0, 2 + lda * (transposeA ? k : m), random);
    Matrix b = fill(1 << 20, 3 + ldb * (transposeB ? n : k), random);
    Matrix c = fill(2 << 20, 5 + ldc * m, random);
    float[] before = new float[(int) c.size()];
    c.read(0, before, 0, before.length);
    if (beta == 0) {
      for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
          c.set(0, 5 + (long) i * ldc + j, Float.NaN);
        }
      }
    }
    gemm.multiply(transposeA, transposeB, m, n, k, alpha, a, 2, lda, b, 3, ldb, beta, c, 5, ldc);
    float[] after = new float[before.length];
    c.read(0, after, 0, after.length);
    for (int at = 0; at < after.length; at++) {
      int i = (at - 5) / ldc;
      int j = (at - 5) % ldc;
      if (at < 5 || j >= n) {
        assertThat(after[at]).isEqualTo(before[at]);
        continue;
      }
      double sum = 0;
      double magnitude = 0;
      for (int p = 0; p < k; p++) {
        double left = a.get(0, 2 + (transposeA ? (long) p * lda + i : (long) i * lda + p));
        double right = b.get(0, 3 + (transposeB ? (long) j * ldb + p : (long) p * ldb + j));
        sum += left * right;
        magnitude += Math.abs(left * right);
      }
      double expected = alpha * sum + (beta == 0 ? 0 : beta * before[at]);
      double tolerance = 1e-6 * (Math.abs(alpha) * magnitude + Math.abs(beta * before[at])) + 1e-30;
      if (!(Math.abs(after[at] - expected) <= tolerance)) {
        throw new AssertionError(
            String.format(
                "%s m %d n %d k %d %s%s alpha %s beta %s: [%d, %d] is %s, expected %s",
                gemm, m, n, k, transposeA, transposeB, alpha, beta, i, j, after[at], expected));
      }
    }
  }

  /** The promise of {@link Gemm#STABLE_ROWS}: a row is the same wherever it stands in a panel. */
  @ParameterizedTest
  @MethodSource("gemms")
  void rowsAreStable(Gemm gemm) {
    Random random = new Random(2);
    int rows = Gemm.STABLE_ROWS;
    for (boolean transposeB : BOTH) {
      for (int[] nk : new int[][] {{1, 40}, {4, 512}, {33, 130}, {256, 64}, {100, 1024}}) {
        int n = nk[0];
        int k = nk[1];
        Matrix a = fill(0, 3 * rows * k, random);
        Matrix b = fill(1 << 20, n * k, random);
        Matrix c = ARENA.matrix(2 << 20, rows, n);
        int ldb = transposeB ? k : n;
        float[][] seen = new float[3 * rows][];
        for (int from = 0; from <= 2 * rows; from += from < 10 ? 1 : 7) {
          c.fill(Float.NaN);
          gemm.multiply(
              false, transposeB, rows, n, k, 1, a, (long) from * k, k, b, 0, ldb, 0, c, 0, n);
          for (int i = 0; i < rows; i++) {
            float[] row = new float[n];
            c.read((long) i * n, row, 0, n);
            if (seen[from + i] == null) {
              seen[from + i] = row;
            }
            assertThat(row)
                .as("%s transposeB %s n %d k %d: row %d at %d", gemm, transposeB, n, k, from + i, i)
                .isEqualTo(seen[from + i]);
          }
        }
      }
    }
  }

  /** A row's product is that of the row alone, for any number of rows and threads. */
  @Test
  void stableProductsDoNotDependOnTheBatch() {
    int n = 40;
    int k = 100;
    Matrix a = fill(0, 192 * k, new Random(5));
    Matrix b = fill(1 << 20, n * k, new Random(6));
    Matrix c = ARENA.matrix(2 << 20, 192, n);
    float[] all = new float[192 * n];
    Cpu.of(1).multiplyStable(false, 192, n, k, a, 0, k, b, 0, n, c, 0, n);
    c.read(0, all, 0, all.length);
    for (int threads = 1; threads <= 3; threads++) {
      for (int m : new int[] {1, 5, 48, 49, 100}) {
        for (int from : new int[] {0, 1, 40}) {
          c.fill(Float.NaN);
          Cpu.of(threads).multiplyStable(false, m, n, k, a, (long) from * k, k, b, 0, n, c, 0, n);
          for (int i = 0; i < m * n; i++) {
            assertThat(c.get(i / n, i % n)).isEqualTo(all[from * n + i]);
          }
        }
      }
    }
    c.fill(1);
    Cpu.of(2).multiplyStable(false, 0, n, k, a, 0, k, b, 0, n, c, 0, n);
    assertThat(c.get(0, 0)).isEqualTo(1);
    assertThatThrownBy(() -> Cpu.of(2).multiplyStable(false, 193, n, k, a, 0, k, b, 0, n, c, 0, n))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("A, stored as [240, 100]");
  }

  @ParameterizedTest
  @MethodSource("gemms")
  void namesWhatDoesNotFit(Gemm gemm) {
    Matrix a = ARENA.matrix(0, 4, 5);
    Matrix b = ARENA.matrix(20, 5, 6);
    Matrix c = ARENA.matrix(50, 4, 6);
    c.fill(9);
    assertThatThrownBy(() -> gemm.multiply(false, false, 4, 6, 5, 1, a, 1, 5, b, 0, 6, 0, c, 0, 6))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage(
            "A, stored as [4, 5] with row stride 5, expects 20 floats from index 1, but its matrix"
                + " [4, 5] has 20");
    assertThatThrownBy(() -> gemm.multiply(false, true, 4, 6, 5, 1, a, 0, 5, b, 0, 4, 0, c, 0, 6))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("B, stored as [6, 5], expects a row stride of 5 or more, got 4");
    assertThatThrownBy(() -> gemm.multiply(false, false, 4, 6, -5, 1, a, 0, 5, b, 0, 6, 0, c, 0, 6))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("k = -5");
    assertThatThrownBy(() -> gemm.multiply(false, false, 4, 6, 5, 1, a, 0, 5, b, 0, 6, 0, c, -1, 6))
        .isInstanceOf(IllegalArgumentException.class);
    assertThat(c.get(0, 0)).isEqualTo(9);
  }

  @ParameterizedTest
  @MethodSource("gemms")
  void refusesAClosedArena(Gemm gemm) {
    Arena closed = Arena.allocate(1);
    Matrix one = closed.matrix(0, 1, 1);
    closed.close();
    assertThatThrownBy(
            () -> gemm.multiply(false, false, 1, 1, 1, 1, one, 0, 1, one, 0, 1, 0, one, 0, 1))
        .isInstanceOf(IllegalStateException.class);
  }

  @Test
  void parallelHasTheSameBitsForAnyNumberOfThreads() {
    Random random = new Random(3);
    int[][] shapes = {
      {32, 2048, 512}, {640, 1000, 512}, {1000, 512, 640}, {7, 5, 3}, {640, 4, 512}
    };
    for (int[] shape : shapes) {
      int m = shape[0];
      int n = shape[1];
      int k = shape[2];
      for (boolean transposeA : BOTH) {
        for (boolean transposeB : BOTH) {
          Matrix a = fill(0, m * k, random);
          Matrix b = fill(1 << 20, n * k, random);
          Matrix c = ARENA.matrix(3 << 20, m, n);
          int lda = transposeA ? m : k;
          int ldb = transposeB ? k : n;
          float[][] results = new float[3][m * n];
          for (int threads = 1; threads <= 3; threads++) {
            c.fill(Float.NaN);
            Cpu.of(threads)
                .multiplyParallel(
                    transposeA, transposeB, m, n, k, 1, a, 0, lda, b, 0, ldb, 0, c, 0, n);
            c.read(0, results[threads - 1], 0, m * n);
          }
          assertThat(results[1]).isEqualTo(results[0]);
          assertThat(results[2]).isEqualTo(results[0]);
          Gemm.best()
              .multiply(transposeA, transposeB, m, n, k, 1, a, 0, lda, b, 0, ldb, 0, c, 0, n);
          float[] whole = new float[m * n];
          c.read(0, whole, 0, m * n);
          for (int i = 0; i < whole.length; i++) {
            assertThat(Math.abs(whole[i] - results[0][i])).isLessThan(1e-3f);
          }
        }
      }
    }
  }

  @Test
  void panelsAreSensible() {
    assertThat(Cpu.panel(2048, 32, 512)).isEqualTo(256);
    assertThat(Cpu.panel(640, 512, 2048)).isEqualTo(80);
    assertThat(Cpu.panel(640, 128, 512)).isEqualTo(80);
    assertThat(Cpu.panel(10_000, 512, 640)).isEqualTo(320);
    assertThat(Cpu.panel(10_000, 1, 512)).isEqualTo(1264);
    assertThat(Cpu.panel(100, 100, 100)).isEqualTo(100);
    assertThat(Cpu.panel(1, 1, 0)).isEqualTo(1);
    assertThat(Cpu.panel(0, 0, 0)).isEqualTo(1);
    assertThat(Cpu.panel(Integer.MAX_VALUE, 1, 1)).isBetween(1 << 18, Integer.MAX_VALUE);
  }

  private static Matrix fill(int offset, int count, Random random) {
    Matrix matrix = ARENA.matrix(offset, 1, count);
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    matrix.write(0, values, 0, count);
    return matrix;
  }
}
