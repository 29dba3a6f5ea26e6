package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * The matrix product in plain Java: blocks of A, B and C are copied into heap tiles, where the
 * inner loop is one that HotSpot vectorises. Each float of C sums over k in the same order whatever
 * m and n are.
 */
final class JavaGemm implements Gemm {
  private static final int TILE_M = 64;
  private static final int TILE_N = 256;
  private static final int TILE_K = 128;

  /** One thread's tiles; rows of a tile are contiguous, unused rows of {@code k} are zero. */
  private static final class Tiles {
    final float[] a = new float[TILE_M * TILE_K];
    final float[] b = new float[TILE_K * TILE_N];
    final float[] sums = new float[TILE_M * TILE_N];
    final float[] row = new float[TILE_N];
  }

  private static final ThreadLocal<Tiles> TILES = ThreadLocal.withInitial(Tiles::new);

  @Override
  public void multiply(
      boolean transposeA,
      boolean transposeB,
      int m,
      int n,
      int k,
      float alpha,
      Matrix a,
      long aAt,
      int lda,
      Matrix b,
      long bAt,
      int ldb,
      float beta,
      Matrix c,
      long cAt,
      int ldc) {
    GemmBounds.check(transposeA, transposeB, m, n, k, a, aAt, lda, b, bAt, ldb, c, cAt, ldc);
    Tiles tiles = TILES.get();
    for (int j = 0; j < n; j += TILE_N) {
      int columns = Math.min(TILE_N, n - j);
      for (int i = 0; i < m; i += TILE_M) {
        int rows = Math.min(TILE_M, m - i);
        Arrays.fill(tiles.sums, 0, rows * TILE_N, 0);
        for (int p = 0; p < k; p += TILE_K) {
          int depth = Math.min(TILE_K, k - p);
          if (transposeA) {
            packTransposed(a, aAt + (long) p * lda + i, lda, depth, rows, tiles.a, TILE_K, tiles);
          } else {
            pack(a, aAt + (long) i * lda + p, lda, rows, depth, tiles.a, TILE_K);
          }
          if (transposeB) {
            packTransposed(
                b, bAt + (long) j * ldb + p, ldb, columns, depth, tiles.b, TILE_N, tiles);
          } else {
            pack(b, bAt + (long) p * ldb + j, ldb, depth, columns, tiles.b, TILE_N);
          }
          for (int row = 0; row < rows; row++) {
            accumulate(tiles.a, row * TILE_K, depth, tiles.b, tiles.sums, row * TILE_N, columns);
          }
        }
        store(tiles, rows, columns, alpha, beta, c, cAt + (long) i * ldc + j, ldc);
      }
    }
  }

  /** Copies a block of {@code rows x columns} as it is stored. */
  private static void pack(
      Matrix from, long at, int stride, int rows, int columns, float[] tile, int tileStride) {
    for (int row = 0; row < rows; row++) {
      from.read(at + (long) row * stride, tile, row * tileStride, columns);
    }
  }

  /** Copies a block stored as {@code rows x columns} so that its columns become rows. */
  private static void packTransposed(
      Matrix from,
      long at,
      int stride,
      int rows,
      int columns,
      float[] tile,
      int tileStride,
      Tiles tiles) {
    float[] line = tiles.row;
    for (int row = 0; row < rows; row++) {
      from.read(at + (long) row * stride, line, 0, columns);
      for (int column = 0; column < columns; column++) {
        tile[column * tileStride + row] = line[column];
      }
    }
  }

  /** sums[j] += sum over p of a[p] * b[p][j], four rows of b at a time, in order of p. */
  private static void accumulate(
      float[] a, int aAt, int depth, float[] b, float[] sums, int at, int columns) {
    int p = 0;
    for (; p + 4 <= depth; p += 4) {
      float a0 = a[aAt + p];
      float a1 = a[aAt + p + 1];
      float a2 = a[aAt + p + 2];
      float a3 = a[aAt + p + 3];
      int b0 = p * TILE_N;
      for (int j = 0; j < columns; j++) {
        sums[at + j] +=
            a0 * b[b0 + j]
                + a1 * b[b0 + TILE_N + j]
                + a2 * b[b0 + 2 * TILE_N + j]
                + a3 * b[b0 + 3 * TILE_N + j];
      }
    }
    for (; p < depth; p++) {
      float a0 = a[aAt + p];
      int b0 = p * TILE_N;
      for (int j = 0; j < columns; j++) {
        sums[at + j] += a0 * b[b0 + j];
      }
    }
  }

  private static void store(
      Tiles tiles, int rows, int columns, float alpha, float beta, Matrix c, long at, int ldc) {
    float[] sums = tiles.sums;
    float[] line = tiles.row;
    for (int row = 0; row < rows; row++) {
      int sum = row * TILE_N;
      if (beta == 0) {
        for (int j = 0; j < columns; j++) {
          line[j] = alpha * sums[sum + j];
        }
      } else {
        c.read(at + (long) row * ldc, line, 0, columns);
        for (int j = 0; j < columns; j++) {
          line[j] = beta * line[j] + alpha * sums[sum + j];
        }
      }
      c.write(at + (long) row * ldc, line, 0, columns);
    }
  }

  @Override
  public String toString() {
    return "plain Java";
  }
}
