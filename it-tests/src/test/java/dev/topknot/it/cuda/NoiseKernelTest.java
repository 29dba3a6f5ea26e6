package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.jna.Pointer;
import dev.topknot.runtime.cpu.Noise;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** noise.cuh gives the bits of {@link Noise}, the normals drawn four at a time or one by one. */
class NoiseKernelTest {
  private static final int TOKENS = 64;
  private static final int COUNT = 509;
  private static final int STEP = 17;
  private static final int FIRST_TOKEN = Integer.MAX_VALUE - 20; // wraps around

  private static final String SOURCE =
      """
      #include "topknot/noise.cuh"

      /** Block: a token; thread: four numbers. */
      TOPKNOT_KERNEL(128)
      draw(const Run* run, long long stream, float* normal, float* single, float* uniform) {
        const int token = static_cast<int>(blockIdx.x);
        const int block = static_cast<int>(threadIdx.x);
        const float4 n = normals(run, token, static_cast<unsigned>(stream), block);
        const float4 u = uniforms(run, token, static_cast<unsigned>(stream), block);
        const float fourNormals[4] = {n.x, n.y, n.z, n.w};
        const float fourUniforms[4] = {u.x, u.y, u.z, u.w};
        for (int i = 0; i < 4; i++) {
          const int index = 4 * block + i;
          if (index < 509) {
            normal[token * 509 + index] = fourNormals[i];
            single[token * 509 + index] =
                normalAt(run, token, static_cast<unsigned>(stream), index);
            uniform[token * 509 + index] = fourUniforms[i];
          }
        }
      }
      """;

  @ParameterizedTest
  @ValueSource(longs = {0, 1, -1, 0x0123456789abcdefL})
  void sameBitsAsTheCpu(long seed) {
    int stream = Noise.stream(65535, Noise.Purpose.GATE, 3);
    float[] expectedNormals = new float[COUNT];
    float[] expectedUniforms = new float[COUNT];
    try (Emulator emulator = Emulator.of(SOURCE)) {
      long bytes = (long) TOKENS * COUNT * Float.BYTES;
      long normal = emulator.allocate(bytes);
      long single = emulator.allocate(bytes);
      long uniform = emulator.allocate(bytes);
      long run = emulator.allocate(96);
      Pointer record = new Pointer(run);
      record.clear(96);
      record.setLong(0, seed);
      record.setInt(8, STEP);
      record.setInt(16, FIRST_TOKEN);
      int[] grid = {TOKENS, 1, 1};
      int[] block = {128, 1, 1};
      assertThat(emulator.launch("draw", grid, block, 0, run, stream, normal, single, uniform))
          .isEmpty();
      for (int token = 0; token < TOKENS; token++) {
        Noise.normals(seed, STEP, FIRST_TOKEN + token, stream, expectedNormals, 0, COUNT);
        Noise.uniforms(seed, STEP, FIRST_TOKEN + token, stream, expectedUniforms, 0, COUNT);
        assertThat(bits(row(normal, token))).isEqualTo(bits(expectedNormals));
        assertThat(bits(row(single, token))).isEqualTo(bits(expectedNormals));
        assertThat(bits(row(uniform, token))).isEqualTo(bits(expectedUniforms));
      }
      for (long address : new long[] {normal, single, uniform, run}) {
        assertThat(emulator.free(address)).isEmpty();
      }
    }
  }

  private static float[] row(long matrix, int row) {
    return new Pointer(matrix).getFloatArray((long) row * COUNT * Float.BYTES, COUNT);
  }

  /** As integers, so that −0 is not 0. */
  private static int[] bits(float[] values) {
    int[] bits = new int[values.length];
    Arrays.setAll(bits, i -> Float.floatToRawIntBits(values[i]));
    return bits;
  }
}
