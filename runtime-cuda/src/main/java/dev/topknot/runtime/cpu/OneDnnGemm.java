package dev.topknot.runtime.cpu;

import com.sun.jna.NativeLibrary;
import org.bytedeco.dnnl.dnnl_version_t;
import org.bytedeco.dnnl.global.dnnl;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;

/**
 * The matrix product of oneDNN, {@code dnnl_sgemm}. The library would spread one product over
 * OpenMP threads of its own; every thread that comes here is first told to use one ({@code
 * omp_set_num_threads} counts for the calling thread only), so that no OpenMP pool ever starts.
 */
final class OneDnnGemm implements Gemm {
  private final NativeLibrary library;
  private final Gemm plain = new JavaGemm();
  private final ThreadLocal<Operands> operands = ThreadLocal.withInitial(this::operands);

  private OneDnnGemm(NativeLibrary library) {
    this.library = library;
  }

  /**
   * Loads the native libraries.
   *
   * @throws LinkageError if one is missing on this platform
   * @throws IllegalStateException if the library cannot be kept to one thread
   */
  static OneDnnGemm load() {
    Loader.load(dnnl.class);
    String path = Loader.getLoadedLibraries().get("dnnl@.3");
    if (path == null) {
      throw new IllegalStateException("oneDNN loaded from an unknown place");
    }
    // Symbols looked up in libdnnl are found in the OpenMP runtime that it is linked with, which
    // need not be the one that a plain look-up by name would load.
    OneDnnGemm gemm = new OneDnnGemm(NativeLibrary.getInstance(path));
    gemm.operands.get();
    return gemm;
  }

  private Operands operands() {
    library.getFunction("omp_set_num_threads").invokeVoid(new Object[] {1});
    int threads = library.getFunction("omp_get_max_threads").invokeInt(new Object[0]);
    if (threads != 1) {
      throw new IllegalStateException("oneDNN would use " + threads + " threads, expected 1");
    }
    return new Operands();
  }

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
    if (m == 0 || n == 0) {
      return;
    }
    if (k == 0) { // oneDNN leaves C alone then
      plain.multiply(
          transposeA, transposeB, m, n, k, alpha, a, aAt, lda, b, bAt, ldb, beta, c, cAt, ldc);
      return;
    }
    Operands on = operands.get();
    int status =
        dnnl.dnnl_sgemm(
            transposition(transposeA),
            transposition(transposeB),
            m,
            n,
            k,
            alpha,
            on.a.at(a.address(aAt)),
            lda,
            on.b.at(b.address(bAt)),
            ldb,
            beta,
            on.c.at(c.address(cAt)),
            ldc);
    if (status != dnnl.dnnl_success) {
      throw new IllegalStateException(
          String.format("dnnl_sgemm: status %d for m = %d, n = %d, k = %d", status, m, n, k));
    }
  }

  private static byte transposition(boolean transpose) {
    return (byte) (transpose ? 'T' : 'N');
  }

  @Override
  public String toString() {
    dnnl_version_t version = dnnl.dnnl_version();
    return String.format(
        "oneDNN %d.%d.%d (CPU instruction set %#x)",
        version.major(), version.minor(), version.patch(), dnnl.dnnl_get_effective_cpu_isa());
  }

  /** One thread's pointer objects, moved from call to call so that a call allocates nothing. */
  private static final class Operands {
    final Operand a = new Operand();
    final Operand b = new Operand();
    final Operand c = new Operand();
  }

  /** A pointer that owns nothing. */
  private static final class Operand extends FloatPointer {
    Operand() {
      super((Pointer) null);
    }

    Operand at(long address) {
      this.address = address;
      return this;
    }
  }
}
