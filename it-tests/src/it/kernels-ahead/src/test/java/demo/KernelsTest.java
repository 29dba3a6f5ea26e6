package demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.topknot.runtime.cuda.KernelSource;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** What a device finds on the class path. */
class KernelsTest {
  private final KernelSource kernels =
      new KernelSource(
          "Experts", extension -> Experts.class.getResourceAsStream("Experts" + extension));

  @Test
  void theImagesLieBesideTheSource() {
    assumeTrue(kernels.resource(".built").isPresent(), "SKIPPED: no nvcc, no kernels");
    byte[] cubin = kernels.resource(".sm_90a.cubin").orElseThrow();
    assertEquals("\u007fELF", new String(cubin, 0, 4, StandardCharsets.ISO_8859_1));
    String ptx =
        new String(kernels.resource(".compute_80.ptx").orElseThrow(), StandardCharsets.UTF_8);
    assertTrue(ptx.contains(".target sm_80"));
    assertTrue(ptx.contains(".entry experts_forward_hidden"));
  }
}
