package dev.topknot.runtime.cpu;

/** The preconditions of {@link Gemm#multiply}, the same for every implementation. */
final class GemmBounds {
  private GemmBounds() {}

  static void check(
      boolean transposeA,
      boolean transposeB,
      int m,
      int n,
      int k,
      Matrix a,
      long aAt,
      int lda,
      Matrix b,
      long bAt,
      int ldb,
      Matrix c,
      long cAt,
      int ldc) {
    if ((m | n | k) < 0) {
      throw new IllegalArgumentException(
          "sizes of a product below 0: m = " + m + ", n = " + n + ", k = " + k);
    }
    operand("A", transposeA ? k : m, transposeA ? m : k, a, aAt, lda);
    operand("B", transposeB ? n : k, transposeB ? k : n, b, bAt, ldb);
    operand("C", m, n, c, cAt, ldc);
  }

  private static void operand(String name, int rows, int columns, Matrix x, long at, int stride) {
    if (stride < Math.max(1, columns)) {
      throw new IllegalArgumentException(
          String.format(
              "%s, stored as [%d, %d], expects a row stride of %d or more, got %d",
              name, rows, columns, Math.max(1, columns), stride));
    }
    long reach = rows == 0 || columns == 0 ? 0 : (rows - 1L) * stride + columns;
    if (at < 0 || reach > x.size() - at) {
      throw new IllegalArgumentException(
          String.format(
              "%s, stored as [%d, %d] with row stride %d, expects %d floats from index %d, but its"
                  + " matrix %s has %d",
              name, rows, columns, stride, reach, at, x, x.size()));
    }
  }
}
