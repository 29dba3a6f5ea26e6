package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.jna.Pointer;
import dev.topknot.processor.plan.Tile;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The plan's tiles are those of the kernels. */
class TileTest {
  private static final String NUMBERS =
      """
      #include "topknot/gate.cuh"
      #include "topknot/perceptron.cuh"
      TOPKNOT_KERNEL(32) numbers(int* to) {
        using Tile = %s;
        if (threadIdx.x == 0) {
          to[0] = Tile::M;
          to[1] = Tile::N;
          to[2] = Tile::THREADS;
          to[3] = Tile::SHARED_BYTES;
          to[4] = GATED_SHARED_BYTES<Tile>;
        }
      }
      """;

  private static int[] numbers(String policy) {
    try (Emulator emulator = Emulator.of(NUMBERS.formatted(policy))) {
      long address = emulator.allocate(5 * Integer.BYTES);
      int[] one = {1, 1, 1};
      assertThat(emulator.launch("numbers", one, new int[] {32, 1, 1}, 0, address)).isEmpty();
      int[] numbers = new Pointer(address).getIntArray(0, 5);
      assertThat(emulator.free(address)).isEmpty();
      return numbers;
    }
  }

  private static int[] numbers(Tile tile) {
    return new int[] {
      tile.rows(), tile.columns(), tile.threads(), tile.sharedBytes(), tile.gatedSharedBytes()
    };
  }

  @ParameterizedTest
  @EnumSource
  void launchesFitTheKernels(Tile tile) {
    assertThat(numbers(tile)).containsExactly(numbers(tile.policy()));
  }
}
