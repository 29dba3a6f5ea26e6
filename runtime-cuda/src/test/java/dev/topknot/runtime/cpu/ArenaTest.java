package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ArenaTest {
  private static final long SLICE = 1L << 28;

  @Test
  void isZeroAndAligned() {
    try (Arena arena = Arena.allocate(10_000)) {
      assertThat(arena.size()).isEqualTo(10_000);
      Matrix all = arena.matrix(0, 100, 100);
      float[] read = new float[10_000];
      all.read(0, read, 0, read.length);
      assertThat(read).containsOnly(0);
      assertThat(all.hasAddress()).isTrue();
      assertThat(all.address(0) % 64).isZero();
      assertThat(all.address(16)).isEqualTo(all.address(0) + 64);
    }
  }

  @Test
  void viewsShareMemory() {
    try (Arena arena = Arena.allocate(64)) {
      Matrix matrix = arena.matrix(8, 4, 3);
      Ints ints = arena.ints(8, 12);
      matrix.set(2, 1, 1.5f);
      assertThat(matrix.get(2, 1)).isEqualTo(1.5f);
      assertThat(ints.get(7)).isEqualTo(Float.floatToRawIntBits(1.5f));
      ints.set(0, Float.floatToRawIntBits(-2f));
      assertThat(matrix.get(0, 0)).isEqualTo(-2f);
      Matrix rows = matrix.rows(1, 2);
      assertThat(rows.get(1, 1)).isEqualTo(1.5f);
      assertThat(rows.rows()).isEqualTo(2);
      assertThat(rows.columns()).isEqualTo(3);
      assertThat(rows.size()).isEqualTo(6);
      ints.write(3, new int[] {9, 4, 5}, 1, 2);
      int[] back = new int[4];
      ints.read(2, back, 1, 3);
      assertThat(back).containsExactly(0, 0, 4, 5);
    }
  }

  @Test
  void copiesFillsAndClears() {
    try (Arena arena = Arena.allocate(60)) {
      Matrix a = arena.matrix(0, 5, 4);
      Matrix b = arena.matrix(20, 5, 4);
      float[] values = random(20);
      a.write(0, values, 0, 20);
      b.copyFrom(a);
      float[] read = new float[22];
      b.read(3, read, 2, 17);
      for (int i = 0; i < 17; i++) {
        assertThat(read[i + 2]).isEqualTo(values[i + 3]);
      }
      b.fill(7);
      assertThat(b.get(4, 3)).isEqualTo(7);
      assertThat(a.get(4, 3)).isEqualTo(values[19]);
      assertThat(arena.matrix(40, 5, 4).get(0, 0)).isZero();
      b.zero(5, 2);
      assertThat(new float[] {b.get(1, 0), b.get(1, 1), b.get(1, 2), b.get(1, 3)})
          .containsExactly(7, 0, 0, 7);
      a.fill(-0f);
      assertThat(Float.floatToRawIntBits(a.get(0, 0))).isEqualTo(Integer.MIN_VALUE);
      assertThatThrownBy(() -> a.copyFrom(arena.matrix(0, 4, 5)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("expected [5, 4], got [4, 5]");
    }
  }

  @Test
  void seesWhatIsNotFinite() {
    try (Arena arena = Arena.allocate(10_000)) {
      Matrix matrix = arena.matrix(0, 1, 10_000);
      matrix.fill(-Float.MAX_VALUE);
      assertThat(matrix.isFinite(0, 10_000)).isTrue();
      for (float bad : new float[] {Float.NaN, -Float.NaN, 1 / 0f, -1 / 0f}) {
        matrix.set(0, 4099, bad);
        assertThat(matrix.isFinite(0, 10_000)).isFalse();
        assertThat(matrix.isFinite(4099, 1)).isFalse();
        assertThat(matrix.isFinite(0, 4099)).isTrue();
        assertThat(matrix.isFinite(4100, 5900)).isTrue();
        assertThat(matrix.isFinite(4099, 0)).isTrue();
      }
    }
  }

  /** Touches a few pages on both sides of the border between two slices, of 2.5 GiB. */
  @Test
  void crossesSliceBorders() {
    try (Arena arena = Arena.allocate(2 * SLICE + SLICE / 2)) {
      float[] values = random(100);
      for (long border : new long[] {SLICE, 2 * SLICE}) {
        Matrix matrix = arena.matrix(border - 50, 10, 10);
        matrix.write(0, values, 0, 100);
        float[] read = new float[100];
        matrix.read(0, read, 0, 100);
        assertThat(read).isEqualTo(values);
        assertThat(matrix.get(4, 9)).isEqualTo(values[49]);
        assertThat(matrix.get(5, 0)).isEqualTo(values[50]);
        assertThat(matrix.address(50) - matrix.address(49)).isEqualTo(4);
        Matrix moved = arena.matrix(border - 1000, 10, 10);
        moved.copyFrom(matrix);
        moved.read(0, read, 0, 100);
        assertThat(read).isEqualTo(values);
        matrix.fill(3);
        matrix.copyFrom(moved);
        matrix.read(0, read, 0, 100);
        assertThat(read).isEqualTo(values);
        matrix.zero(45, 10);
        assertThat(matrix.get(5, 4)).isZero();
        assertThat(matrix.get(5, 5)).isEqualTo(values[55]);
        matrix.set(5, 0, Float.NaN);
        assertThat(matrix.isFinite(0, 100)).isFalse();
        Ints ints = arena.ints(border - 2, 4);
        ints.write(0, new int[] {1, 2, 3, 4}, 0, 4);
        int[] back = new int[4];
        ints.read(0, back, 0, 4);
        assertThat(back).containsExactly(1, 2, 3, 4);
        assertThat(ints.get(2)).isEqualTo(3);
      }
    }
  }

  @Test
  void worksOnTheJdksOwnBuffers() {
    Region region = Region.allocateDirect(1000);
    Matrix matrix = new Matrix(region, 0, 10, 100);
    float[] values = random(1000);
    matrix.write(0, values, 0, 1000);
    float[] read = new float[1000];
    matrix.read(0, read, 0, 1000);
    assertThat(read).isEqualTo(values);
    assertThat(matrix.hasAddress()).isFalse();
    region.close();
    assertThatThrownBy(() -> matrix.get(0, 0)).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void wrapsDirectBuffers() {
    FloatBuffer buffer =
        ByteBuffer.allocateDirect(80).order(ByteOrder.nativeOrder()).asFloatBuffer();
    buffer.position(2);
    Matrix matrix = Matrix.wrap(buffer, 3, 6);
    matrix.set(0, 0, 5);
    matrix.set(2, 5, 6);
    assertThat(buffer.position()).isEqualTo(2);
    assertThat(buffer.get(2)).isEqualTo(5);
    assertThat(buffer.get(19)).isEqualTo(6);
    assertThatThrownBy(() -> Matrix.wrap(buffer, 3, 7))
        .hasMessage("3 x 7 floats do not fit a buffer with 18 remaining");
    assertThatThrownBy(() -> Matrix.wrap(FloatBuffer.allocate(20), 3, 6))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("a heap buffer");
    FloatBuffer swapped = ByteBuffer.allocateDirect(80).asFloatBuffer();
    assertThatThrownBy(() -> Matrix.wrap(swapped, 3, 6))
        .hasMessageContaining("a direct buffer of order BIG_ENDIAN");
  }

  @Test
  void refusesWhatDoesNotFit() {
    try (Arena arena = Arena.allocate(100)) {
      assertThatThrownBy(() -> arena.matrix(1, 10, 10))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("10 x 10 floats at 1 do not fit an arena of 100 words");
      assertThatThrownBy(() -> arena.matrix(-1, 1, 1)).isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> arena.matrix(0, 1L << 32, 1L << 32))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> arena.ints(0, -1)).isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> arena.ints(99, 2)).isInstanceOf(IllegalArgumentException.class);
      Matrix matrix = arena.matrix(0, 10, 10);
      assertThatThrownBy(() -> matrix.get(10, 0)).isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> matrix.get(0, 10)).isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> matrix.read(91, new float[10], 0, 10))
          .isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> matrix.write(0, new float[10], 1, 10))
          .isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> matrix.rows(5, 6)).isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> matrix.zero(0, 101)).isInstanceOf(IndexOutOfBoundsException.class);
    }
    assertThatThrownBy(() -> Arena.allocate(-1)).isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> Arena.allocate(1L << 56))
        .isInstanceOf(OutOfMemoryError.class)
        .hasMessageContaining("wants 288,230,376,151,711,744 bytes");
  }

  @Test
  void isUselessOnceClosed() {
    Arena arena = Arena.allocate(100);
    Matrix matrix = arena.matrix(0, 10, 10);
    Ints ints = arena.ints(0, 100);
    arena.close();
    arena.close();
    assertThatThrownBy(() -> arena.matrix(0, 1, 1)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> matrix.get(0, 0)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> matrix.set(0, 0, 1)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> matrix.read(0, new float[1], 0, 1))
        .isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> matrix.write(0, new float[1], 0, 1))
        .isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> matrix.fill(1)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> matrix.zero(0, 1)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> matrix.isFinite(0, 1)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> matrix.address(0)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> ints.get(0)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> ints.set(0, 1)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> ints.read(0, new int[1], 0, 1))
        .isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(() -> ints.write(0, new int[1], 0, 1))
        .isInstanceOf(IllegalStateException.class);
  }

  private static float[] random(int count) {
    Random random = new Random(7);
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }
}
