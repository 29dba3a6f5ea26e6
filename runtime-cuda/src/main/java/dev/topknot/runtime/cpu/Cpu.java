package dev.topknot.runtime.cpu;

import java.util.Objects;

/**
 * What the operations on the CPU are built with: threads to spread work over, and a matrix product.
 *
 * @param workers the threads
 * @param gemm the single-threaded matrix product
 */
public record Cpu(Workers workers, Gemm gemm) {
  /** Multiply-adds below which a panel is not worth another thread's wake-up. */
  private static final long PANEL_WORK = 4L << 20;

  /** Columns or rows below which a panel repeats too much packing of the other operand. */
  private static final int NARROWEST = 64;

  /** Columns or rows of a panel where there are plenty. */
  private static final int USUAL = 256;

  /** Rows or columns up to which a product takes as long as with fewer: memory is what it needs. */
  private static final int LIGHTEST = 8;

  /** How many panels there are, or a multiple, so that 2, 4 and 8 threads end together. */
  private static final int EVEN = 8;

  /** A CPU of these parts. */
  public Cpu {
    Objects.requireNonNull(workers, "workers");
    Objects.requireNonNull(gemm, "gemm");
  }

  /**
   * So many threads with the best matrix product.
   *
   * @throws IllegalArgumentException if {@code threads} is not positive
   */
  public static Cpu of(int threads) {
    return new Cpu(Workers.of(threads), Gemm.best());
  }

  /**
   * {@link Gemm#multiply} spread over the workers in panels of rows or of columns of C: whichever
   * are more, but rather of columns where B is transposed, since every panel of rows packs all of B
   * again. The panels depend on m, n and k only, so the result has the same bits for any number of
   * threads. Not to be called from inside a task.
   */
  public void multiplyParallel(
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
    boolean byRows = transposeB ? m / 4 > n : m > n;
    int length = byRows ? m : n;
    int panel = panel(length, byRows ? n : m, k);
    if (panel >= length) {
      gemm.multiply(
          transposeA, transposeB, m, n, k, alpha, a, aAt, lda, b, bAt, ldb, beta, c, cAt, ldc);
      return;
    }
    PanelProduct product = PanelProduct.ofThread();
    product.gemm = gemm;
    product.byRows = byRows;
    product.panel = panel;
    product.transposeA = transposeA;
    product.transposeB = transposeB;
    product.m = m;
    product.n = n;
    product.k = k;
    product.alpha = alpha;
    product.a = a;
    product.aAt = aAt;
    product.lda = lda;
    product.b = b;
    product.bAt = bAt;
    product.ldb = ldb;
    product.beta = beta;
    product.c = c;
    product.cAt = cAt;
    product.ldc = ldc;
    try {
      workers.parallel((length + panel - 1) / panel, product);
    } finally {
      product.release();
    }
  }

  /**
   * C = A * op(B), such that the bits of a row of C depend on that row of A, on B and on the sizes
   * only: not on m, not on which rows stand beside it, not on the number of threads. What the gate
   * needs, so that a token takes the same experts however it is batched. Works in whole panels of
   * {@link Gemm#STABLE_ROWS} rows, so A and C must have room for m rounded up to a multiple of
   * that; the rows of A beyond m are read, and those of C written, without meaning. Not to be
   * called from inside a task.
   *
   * @throws IllegalArgumentException as {@link Gemm#multiply}, for the rounded m
   */
  public void multiplyStable(
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
    int rows = Gemm.STABLE_ROWS;
    int panels = Math.max(0, m) / rows + (m % rows > 0 ? 1 : 0);
    GemmBounds.check(
        false, transposeB, m < 0 ? m : panels * rows, n, k, a, aAt, lda, b, bAt, ldb, c, cAt, ldc);
    workers.parallel(
        panels,
        (panel, worker) -> {
          long from = (long) panel * rows;
          gemm.multiply(
              false,
              transposeB,
              rows,
              n,
              k,
              1,
              a,
              aAt + from * lda,
              lda,
              b,
              bAt,
              ldb,
              0,
              c,
              cAt + from * ldc,
              ldc);
        });
  }

  /**
   * The height or width of a panel, a multiple of 16 where there is more than one; what remains
   * makes the last one.
   *
   * @param length rows or columns to divide
   * @param across the other size of C
   */
  static int panel(int length, int across, int k) {
    long perLine = Math.max(1, (long) Math.max(across, LIGHTEST) * k);
    long most = length / Math.max(NARROWEST, (PANEL_WORK + perLine - 1) / perLine);
    if (most < 2) {
      return Math.max(1, length);
    }
    long panels =
        most < EVEN
            ? Long.highestOneBit(most)
            : Math.max(EVEN, Math.min(most, length / USUAL) / EVEN * EVEN);
    return (int) (((length + panels - 1) / panels + 15) & -16);
  }
}
