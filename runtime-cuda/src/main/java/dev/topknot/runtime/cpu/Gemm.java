package dev.topknot.runtime.cpu;

/**
 * The matrix product C = alpha * op(A) * op(B) + beta * C in float32, row-major, on the calling
 * thread alone; many threads may call it at once.
 *
 * <p><b>Same bits.</b> A call's result depends on its arguments only. Whether a <i>row</i> of C
 * depends on how many other rows are multiplied with it is the library's affair: in oneDNN 3.11 on
 * AVX-512 and on AVX2 the bits of a row do not depend on its position, and are the same for every m
 * &ge; {@link #STABLE_ROWS}, but m = 1 sums in another order, and so does m &lt; 16 with B
 * transposed. Where a row must not depend on how tokens are batched (the gate), multiply whole
 * panels: round m up to a multiple of {@link #STABLE_ROWS}, with any finite floats in the rows
 * added. The plain Java product gives the same row for every m.
 */
public interface Gemm {
  /**
   * The panel height for which the bits of a row depend on nothing but the row and B. With m a
   * multiple of it (or any m not below it) each row is what it would be in any other such product.
   */
  int STABLE_ROWS = 32;

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
