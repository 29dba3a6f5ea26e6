package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * The sum over rows of a matrix, which is the gradient of a bias. Rows are added in their order, in
 * blocks, so that the rounding error of a long sum stays that of a short one.
 */
final class ColumnSums {
  private static final int PANEL = 1024;
  private static final int BLOCK = 64;

  private final Workers workers;
  private final int columns;
  private final Tile[] tiles;
  private final Workers.Task sum = this::sum;

  // Operands of the running call.
  private Matrix from;
  private int rows;
  private float beta;
  private Matrix to;

  ColumnSums(Cpu cpu, int columns) {
    workers = cpu.workers();
    this.columns = columns;
    tiles = new Tile[workers.threads()];
    Arrays.setAll(tiles, i -> new Tile(Math.min(PANEL, columns)));
  }

  /**
   * {@code to} [1, columns] := beta · to + the sum of the first {@code rows} rows of {@code from}.
   */
  void add(Matrix from, int rows, float beta, Matrix to) {
    this.from = from;
    this.rows = rows;
    this.beta = beta;
    this.to = to;
    workers.parallel((columns + PANEL - 1) / PANEL, sum);
  }

  private void sum(int task, int worker) {
    Tile tile = tiles[worker];
    int at = task * PANEL;
    int count = Math.min(PANEL, columns - at);
    if (beta == 0) {
      Arrays.fill(tile.total, 0, count, 0);
    } else {
      to.read(at, tile.total, 0, count);
    }
    for (int block = 0; block < rows; block += BLOCK) {
      Arrays.fill(tile.block, 0, count, 0);
      for (int row = block; row < Math.min(rows, block + BLOCK); row++) {
        from.read((long) row * columns + at, tile.row, 0, count);
        RowSums.add(tile.row, count, tile.block);
      }
      RowSums.add(tile.block, count, tile.total);
    }
    to.write(at, tile.total, 0, count);
  }

  private static final class Tile {
    final float[] row;
    final float[] block;
    final float[] total;

    Tile(int columns) {
      row = new float[columns];
      block = new float[columns];
      total = new float[columns];
    }
  }
}
