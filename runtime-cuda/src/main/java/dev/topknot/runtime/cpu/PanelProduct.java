package dev.topknot.runtime.cpu;

/**
 * A product that {@link Cpu#multiplyParallel} spreads: a task is a panel of rows or of columns of
 * C. One for each thread that calls, used again and again, so that a call allocates nothing.
 */
final class PanelProduct implements Workers.Task {
  private static final ThreadLocal<PanelProduct> OF_THREAD =
      ThreadLocal.withInitial(PanelProduct::new);

  Gemm gemm;
  boolean byRows;
  int panel;
  boolean transposeA;
  boolean transposeB;
  int m;
  int n;
  int k;
  float alpha;
  Matrix a;
  long aAt;
  int lda;
  Matrix b;
  long bAt;
  int ldb;
  float beta;
  Matrix c;
  long cAt;
  int ldc;

  private PanelProduct() {}

  static PanelProduct ofThread() {
    return OF_THREAD.get();
  }

  /** Lets go of the operands, which would live as long as the thread. */
  void release() {
    a = null;
    b = null;
    c = null;
  }

  @Override
  public void run(int task, int worker) {
    int from = task * panel;
    int count = Math.min(panel, (byRows ? m : n) - from);
    long aFrom = aAt;
    long bFrom = bAt;
    long cFrom = cAt;
    if (byRows) {
      aFrom += transposeA ? from : (long) from * lda;
      cFrom += (long) from * ldc;
    } else {
      bFrom += transposeB ? (long) from * ldb : from;
      cFrom += from;
    }
    gemm.multiply(
        transposeA,
        transposeB,
        byRows ? count : m,
        byRows ? n : count,
        k,
        alpha,
        a,
        aFrom,
        lda,
        b,
        bFrom,
        ldb,
        beta,
        c,
        cFrom,
        ldc);
  }
}
