package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.runtime.cpu.Noise.Purpose;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class NoiseTest {
  private static final long SEED = 0x123456789ABCDEFL;
  private static final int STREAM = Noise.stream(3, Purpose.GATE, 0);

  /** Tokens and indices per token whose product is 10^7 draws. */
  private static final int TOKENS = 10_000;

  private static final int PER_TOKEN = 1000;
  private static final double DRAWS = (double) TOKENS * PER_TOKEN;

  /** The words behind a block of four, pushed through double-precision Box-Muller. */
  @Test
  void normalsFollowBoxAndMuller() {
    int[] words = new int[4];
    float[] got = new float[4];
    for (int token = 0; token < 50_000; token++) {
      Philox.generate(7, token, 0, STREAM, SEED, words);
      Noise.normals(SEED, 7, token, STREAM, got, 0, 4);
      for (int pair = 0; pair < 4; pair += 2) {
        double u = (Integer.toUnsignedLong(words[pair]) + 0.5) * 0x1p-32;
        double radius = Math.sqrt(-2 * Math.log(u));
        double angle = Integer.toUnsignedLong(words[pair + 1]) * 0x1p-32 * 2 * Math.PI;
        // what rounding u to a float may cost the radius near 1
        double tolerance = 4e-7 * radius + 0x1p-24 / Math.max(radius, 0x1p-12);
        assertThat(got[pair])
            .isCloseTo((float) (radius * Math.cos(angle)), within((float) tolerance));
        assertThat(got[pair + 1])
            .isCloseTo((float) (radius * Math.sin(angle)), within((float) tolerance));
      }
    }
  }

  /** Bits written down, so that no backend, JDK or later edit changes a draw unnoticed. */
  @Test
  void bitsAreFixed() {
    float[] normals = new float[6];
    float[] uniforms = new float[6];
    Noise.normals(42, 1, 2, Noise.stream(1, Purpose.DROPOUT, 5), normals, 0, 6);
    Noise.uniforms(42, 1, 2, Noise.stream(1, Purpose.DROPOUT, 5), uniforms, 0, 6);
    assertThat(bits(normals))
        .containsExactly(0xBFCDE79E, 0x400B6A92, 0x3F6CCDB7, 0x3F66205F, 0xBED2CCCE, 0x3F02E048);
    assertThat(bits(uniforms))
        .containsExactly(0x3CD16EA0, 0x3EB3D4E6, 0x3EDED76A, 0x3DFB56D8, 0x3F4E626D, 0x3EB73F62);
  }

  private static int[] bits(float[] values) {
    int[] bits = new int[values.length];
    for (int i = 0; i < bits.length; i++) {
      bits[i] = Float.floatToRawIntBits(values[i]);
    }
    return bits;
  }

  @Test
  void normalsAreNormal() {
    int bins = 1 << 18;
    double width = 14.0 / bins;
    int[] counts = new int[bins];
    double[] moments = new double[5]; // of power 0 to 4
    float[] draws = new float[PER_TOKEN];
    float greatest = 0;
    for (int token = 0; token < TOKENS; token++) {
      Noise.normals(SEED, 1, token, STREAM, draws, 0, PER_TOKEN);
      for (float draw : draws) {
        greatest = Math.max(greatest, Math.abs(draw));
        counts[Math.max(0, Math.min(bins - 1, (int) ((draw + 7.0) / width)))]++;
        double power = 1;
        for (int m = 0; m < moments.length; m++) {
          moments[m] += power;
          power *= draw;
        }
      }
    }
    assertThat(greatest).isLessThan(6.8f);
    // each within 4 standard errors: variances of the powers are 1, 2, 15 and 96
    assertThat(moments[1] / DRAWS).isCloseTo(0, within(4 * Math.sqrt(1 / DRAWS)));
    assertThat(moments[2] / DRAWS).isCloseTo(1, within(4 * Math.sqrt(2 / DRAWS)));
    assertThat(moments[3] / DRAWS).isCloseTo(0, within(4 * Math.sqrt(15 / DRAWS)));
    assertThat(moments[4] / DRAWS).isCloseTo(3, within(4 * Math.sqrt(96 / DRAWS)));
    double distance = 0;
    long below = 0;
    for (int i = 0; i < bins; i++) {
      below += counts[i];
      double expected = Normal.cdf((i + 1) * width - 7);
      distance = Math.max(distance, Math.abs(below / DRAWS - expected));
    }
    assertThat(distance).isLessThan(5e-4);
  }

  @Test
  void uniformsAreUniform() {
    int bins = 1 << 18;
    int[] counts = new int[bins];
    float[] draws = new float[PER_TOKEN];
    float least = 1;
    float greatest = 0;
    double sum = 0;
    double squares = 0;
    for (int token = 0; token < TOKENS; token++) {
      Noise.uniforms(SEED, 1, token, STREAM, draws, 0, PER_TOKEN);
      for (float draw : draws) {
        least = Math.min(least, draw);
        greatest = Math.max(greatest, draw);
        counts[(int) (draw * bins)]++;
        sum += draw;
        squares += (double) draw * draw;
      }
    }
    assertThat(least).isPositive();
    assertThat(greatest).isLessThan(1);
    assertThat(sum / DRAWS).isCloseTo(0.5, within(4 * Math.sqrt(1 / 12.0 / DRAWS)));
    assertThat(squares / DRAWS).isCloseTo(1 / 3.0, within(4 * Math.sqrt(4 / 45.0 / DRAWS)));
    double distance = 0;
    long below = 0;
    for (int i = 0; i < bins; i++) {
      below += counts[i];
      distance = Math.max(distance, Math.abs(below / DRAWS - (i + 1.0) / bins));
    }
    assertThat(distance).isLessThan(5e-4);
  }

  /** Every argument matters, and a draw does not depend on how many are asked for. */
  @Test
  void drawsAreAFunctionOfTheirPlace() {
    float[] all = new float[101];
    Noise.normals(1, 2, 3, 4, all, 0, 101);
    float[] part = new float[60];
    Arrays.fill(part, 99);
    Noise.normals(1, 2, 3, 4, part, 7, 50);
    for (int i = 0; i < 60; i++) {
      assertThat(part[i]).isEqualTo(i < 7 || i >= 57 ? 99 : all[i - 7]);
    }
    Noise.uniforms(1, 2, 3, 4, all, 0, 101);
    Noise.uniforms(1, 2, 3, 4, part, 0, 59);
    assertThat(Arrays.copyOf(part, 59)).isEqualTo(Arrays.copyOf(all, 59));
    assertThat(part[59]).isEqualTo(99);
    long[][] places = {
      {1, 2, 3, 4},
      {2, 2, 3, 4},
      {1 + (1L << 32), 2, 3, 4},
      {1, 3, 3, 4},
      {1, 2, 4, 4},
      {1, 2, 3, 5}
    };
    Set<String> seen = new HashSet<>();
    for (long[] place : places) {
      float[] four = new float[4];
      Noise.normals(place[0], (int) place[1], (int) place[2], (int) place[3], four, 0, 4);
      seen.add(Arrays.toString(four));
    }
    assertThat(seen).hasSize(places.length);
  }

  @Test
  void streamsDiffer() {
    Set<Integer> streams = new HashSet<>();
    int count = 0;
    for (int layer : new int[] {0, 1, 2, 65_535}) {
      for (Purpose purpose : Purpose.values()) {
        for (int gate : new int[] {0, 1, 8, 8191}) {
          streams.add(Noise.stream(layer, purpose, gate));
          count++;
        }
      }
    }
    assertThat(streams).hasSize(count);
    assertThatThrownBy(() -> Noise.stream(65_536, Purpose.GATE, 0))
        .hasMessageContaining("got 65536 and 0");
    assertThatThrownBy(() -> Noise.stream(0, Purpose.GATE, 8192))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> Noise.stream(-1, Purpose.GATE, 0))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void refusesWhatDoesNotFit() {
    assertThatThrownBy(() -> Noise.normals(1, 2, 3, 4, new float[8], 5, 4))
        .isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> Noise.uniforms(1, 2, 3, 4, new float[8], 0, 9))
        .isInstanceOf(IndexOutOfBoundsException.class);
  }
}
