package dev.topknot.runtime.cpu;

/**
 * The matrix product C = alpha * op(A) * op(B) + beta * C in float32, row-major, on the calling
 * thread alone; many threads may call it at once.
 *
 * <p><b>Same bits.</b> A call's result depends on its arguments only. Whether a <i>row</i> of C
 * depends on how many rows are multiplied with it, and on where among them it stands, is the
 * library's affair. In oneDNN 3.11 it does: on AVX-512 m = 1 (and m &lt; 16 with B transposed) sums
 * in another order than larger m; on AVX2 rows behind the last multiple of 6 do, and large products
 * take another path than small ones. Where a row must not depend on how tokens are batched (the
 * gate), multiply panels of exactly {@link #STABLE_ROWS} rows, as {@link Cpu#multiplyStable} does.
 * The plain Java product gives the same row for every m.
 */
public interface Gemm {
  /**
   * The panel height for which a row of C depends on nothing but the row of A, B and the sizes: not
   * on its position in the panel, not on the other rows. Tests hold it for the machine they run on;
   * seen on SSE4.1, AVX, AVX2 and AVX-512.
   */
  int STABLE_ROWS = 48;

  /**
   * Multiplies. With {@code beta = 0}, C is only written: NaN in it does not survive. With {@code k
   * = 0}, C is scaled by beta. C must not overlap A or B.
   *
   * @param transposeA whether A is stored as k x m
   * @param transposeB whether B is stored as n x k
   * @param m rows of C and op(A)
   * @param n columns of C and op(B)
   * @param k columns of op(A), rows of op(B)
   * @param alpha scales the product
   * @param a holds A
   * @param aAt linear index of A's first float in {@code a}
   * @param lda floats from one stored row of A to the next
   * @param b holds B
   * @param bAt linear index of B's first float in {@code b}
   * @param ldb floats from one stored row of B to the next
   * @param beta scales what C held
   * @param c holds C
   * @param cAt linear index of C's first float in {@code c}
   * @param ldc floats from one row of C to the next
   * @throws IllegalArgumentException if a size is negative, a row is longer than its stride, or an
   *     operand reaches beyond its matrix; C is then untouched
   */
  void multiply(
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
      int ldc);

  /**
   * The fastest product this machine has: oneDNN where its native libraries load, else plain Java.
   * The first call logs which and why.
   */
  static Gemm best() {
    return BestGemm.INSTANCE;
  }
}
