package dev.topknot.processor.plan;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** How the gradients of weights are shared by blocks. */
class TileTest {
  @Test
  void aBlockHasSeveralTilesWhereThereAreManyOnTensorCores() {
    assertThat(Tile.WIDE.weightGrid(1024, 512, 256)).isEqualTo(Grid.of(8, 2, 256));
    assertThat(Tile.WIDE.weightGrid(1024, 4096, 128)).isEqualTo(Grid.of(8, 8, 128));
    assertThat(Tile.BF16.weightGrid(1024, 512, 4096)).isEqualTo(Grid.of(16, 2, 4096));
  }

  @Test
  void ofFewTilesEachHasABlock() {
    assertThat(Tile.WIDE.weightGrid(1024, 512, 255)).isEqualTo(Grid.of(8, 4, 255));
    assertThat(Tile.FP32.weightGrid(1024, 512, 4096)).isEqualTo(Grid.of(16, 8, 4096));
  }

  @Test
  void columnsThatAreNoMultipleKeepABlock() {
    assertThat(Tile.WIDE.weightGrid(1024, 328, 1024)).isEqualTo(Grid.of(8, 1, 1024));
  }
}
