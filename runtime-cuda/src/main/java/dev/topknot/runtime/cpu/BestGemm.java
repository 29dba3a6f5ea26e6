package dev.topknot.runtime.cpu;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Chooses the matrix product once, when first asked. */
final class BestGemm {
  static final Gemm INSTANCE = choose();

  private BestGemm() {}

  private static Gemm choose() {
    Logger log = LoggerFactory.getLogger(Gemm.class);
    try {
      OneDnnGemm gemm = OneDnnGemm.load();
      log.info("Matrix products by {}, one thread a call", gemm);
      return gemm;
    } catch (LinkageError | RuntimeException e) {
      log.warn("Matrix products in plain Java, several times slower: no oneDNN ({})", e.toString());
      log.debug("Why oneDNN did not load", e);
      return new JavaGemm();
    }
  }
}
