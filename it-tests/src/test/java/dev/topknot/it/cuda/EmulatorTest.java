package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class EmulatorTest {
  @Test
  void overrunsAreReported() {
    try (Emulator e =
        Emulator.of(
            """
            #include "topknot/device.cuh"
            TOPKNOT_KERNEL(32) k(float* a, long long b) { a[threadIdx.x] = b; }
            """)) {
      long a = e.allocate(128);
      assertThat(e.launch("k", new int[] {1, 1, 1}, new int[] {32, 1, 1}, 0, a, 5)).isEmpty();
      assertThat(e.launch("k", new int[] {1, 1, 1}, new int[] {33, 1, 1}, 0, a, 5))
          .get()
          .asString()
          .contains("was written at byte 128");
    }
  }
}
