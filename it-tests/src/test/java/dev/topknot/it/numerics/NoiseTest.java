package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.it.reference.Philox;
import dev.topknot.runtime.cpu.Noise;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The noise against a generator written anew from the papers: Philox4x32-10, key = seed, counter =
 * (step, token, index / 4, stream), then Box and Muller in double.
 */
class NoiseTest {
  private static final int STEP = 17;
  private static final int TOKEN = 123_456;
  private static final int COUNT = 1021;

  private final int stream = Noise.stream(4, Noise.Purpose.GATE, 2);

  @ParameterizedTest
  @ValueSource(longs = {0, 1, -1, 0x0123456789abcdefL})
  void normals(long seed) {
    float[] noise = new float[COUNT + 1];
    Noise.normals(seed, STEP, TOKEN, stream, noise, 1, COUNT);
    assertThat(noise[0]).isZero();
    for (int i = 0; i < COUNT; i++) {
      int[] words = words(seed, i / 4);
      int pair = i % 4 / 2 * 2;
      double u = (Integer.toUnsignedLong(words[pair]) + 0.5) / 0x1p32;
      double angle = 2 * Math.PI * Integer.toUnsignedLong(words[pair + 1]) / 0x1p32;
      double radius = Math.sqrt(-2 * Math.log(u));
      double expected = radius * (i % 2 == 0 ? Math.cos(angle) : Math.sin(angle));
      assertThat((double) noise[i + 1]).as("number %d", i).isCloseTo(expected, within(2e-6));
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 1, -1, 0x0123456789abcdefL})
  void uniforms(long seed) {
    float[] noise = new float[COUNT];
    Noise.uniforms(seed, STEP, TOKEN, stream, noise, 0, COUNT);
    for (int i = 0; i < COUNT; i++) {
      double expected = Integer.toUnsignedLong(words(seed, i / 4)[i % 4]) / 0x1p32;
      assertThat((double) noise[i]).as("number %d", i).isCloseTo(expected, within(0x1p-23));
      assertThat(noise[i]).isGreaterThan(0).isLessThan(1);
    }
  }

  private int[] words(long seed, int block) {
    return Philox.words(
        new int[] {STEP, TOKEN, block, stream}, new int[] {(int) seed, (int) (seed >>> 32)});
  }
}
