package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.reference.Products;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Operands that are no ordinary numbers, and a depth that no tile divides. */
class Bf16TileTest {
  private static final int ROWS = 66; // of which the last has no values
  private static final int INPUTS = 33;
  private static final int OUTPUTS = 5;

  private static final String SOURCE =
      """
      #include "topknot/gemm.cuh"
      TOPKNOT_KERNEL(32) round_all(const float* in, int* out) {
        out[threadIdx.x] = toBf16(in[threadIdx.x]);
      }
      TOPKNOT_KERNEL(256) multiply(const Run* run, const float* a, const float* w, float* y) {
        multiplyActivate<Bf16Tile, %d, %d, IDENTITY>(a, w, nullptr, nullptr, y, run->valid);
      }
      """
          .formatted(INPUTS, OUTPUTS);

  private static final float[] SPECIAL = {
    0,
    -0.0f,
    1 + 0x1p-8f, // ties: to even, down
    1 + 0x3p-8f, // and up
    -1 - 0x1p-8f,
    1 + 0x1p-8f + 0x1p-23f, // above a tie
    1 + 0x1p-8f - 0x1p-23f,
    2 - 0x1p-23f, // to the next power
    Float.MIN_VALUE,
    0x1p-134f, // half the smallest bf16: to zero
    0x1.8p-133f, // a tie between denormals: up to even
    0x1p-126f - 0x1p-149f, // to the smallest normal number
    -0x1p-130f,
    Float.MAX_VALUE, // to infinity
    0x1.fep127f, // the largest bf16
    -0x1.fep127f - 0x1p119f, // a tie with infinity
    Float.POSITIVE_INFINITY,
    Float.NEGATIVE_INFINITY
  };

  @Test
  void roundsToNearestTiesToEven() {
    float[] in = new float[32];
    System.arraycopy(SPECIAL, 0, in, 0, SPECIAL.length);
    for (int i = SPECIAL.length; i < in.length; i++) {
      in[i] = Float.intBitsToFloat(i % 2 == 0 ? 0x7F80_0001 + i : 0xFFFF_FFFF - i); // NaN
    }
    float[] out =
        Kernels.everywhere(
                SOURCE,
                k -> {
                  long bits = k.empty(32);
                  k.launch("round_all", 1, 1, 1, 32, 0, k.floats(in), bits);
                  k.result("bits", bits, 32);
                })
            .get("bits");
    for (int i = 0; i < in.length; i++) {
      float rounded = Float.intBitsToFloat(Float.floatToRawIntBits(out[i]) << 16);
      assertThat(Float.floatToRawIntBits(rounded))
          .as("%s (%x)", in[i], Float.floatToRawIntBits(in[i]))
          .isEqualTo(
              Float.isNaN(in[i])
                  ? 0x7FFF_0000
                  : Float.floatToRawIntBits((float) Products.BF16.rounded(in[i])));
    }
  }

  /** What is not finite stays in its row; denormals count; what lies behind is not read. */
  @Test
  void multipliesWhatIsNoOrdinaryNumber() {
    float[] a = new float[ROWS * INPUTS];
    float[] w = new float[OUTPUTS * INPUTS];
    Arrays.fill(a, 1);
    Arrays.fill(a, (ROWS - 1) * INPUTS, a.length, Float.NaN); // behind the valid rows
    for (int i = 0; i < w.length; i++) {
      w[i] = i % INPUTS == INPUTS - 1 ? 0x1p127f : 0x1p-3f;
    }
    a[INPUTS - 1] = Float.NaN;
    a[2 * INPUTS - 1] = Float.NEGATIVE_INFINITY;
    a[3 * INPUTS - 1] = 0x1p-130f;
    for (int row = 3; row < ROWS - 1; row++) {
      a[(row + 1) * INPUTS - 1] = 0;
    }
    Map<String, float[]> results =
        Kernels.everywhere(
            SOURCE,
            k -> {
              long y = k.empty(ROWS * OUTPUTS);
              long run = k.run(ROWS - 1, true, false, 0, false);
              k.launch("multiply", 2, 1, 1, 256, 16384, run, k.floats(a), k.floats(w), y);
              k.result("y", y, ROWS * OUTPUTS);
            });
    float[] y = results.get("y");
    for (int row = 0; row < ROWS; row++) {
      Float expected =
          switch (row) {
            case 0, ROWS - 1 -> Float.NaN; // the last is left alone
            case 1 -> Float.NEGATIVE_INFINITY;
            case 2 -> 4 + 0x1p-3f;
            default -> 4f;
          };
      for (int column = 0; column < OUTPUTS; column++) {
        assertThat(y[row * OUTPUTS + column]).as("[%d, %d]", row, column).isEqualTo(expected);
      }
    }
  }
}
