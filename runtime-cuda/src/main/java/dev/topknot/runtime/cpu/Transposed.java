package dev.topknot.runtime.cpu;

/**
 * A weight [rows, columns] kept as [columns, rows] too. With few rows on the left, the product with
 * a matrix stored the other way round takes 1.7 times as long, which pays for the copy where the
 * weight is used several times.
 */
final class Transposed {
  /** Rows and columns of a block that is transposed at once. */
  private static final int BLOCK = 64;

  private final Workers workers;
  private final int rows;
  private final int columns;
  private final Matrix transposed;
  private final float[][] blocks;
  private final float[][] transposedBlocks;
  private final Workers.Task copyRows = this::copyRows;

  // Operand of the running call.
  private Matrix from;

  Transposed(Cpu cpu, int rows, int columns) {
    workers = cpu.workers();
    this.rows = rows;
    this.columns = columns;
    transposed = Scratch.matrix(columns, rows);
    blocks = workers.arrays(BLOCK * BLOCK);
    transposedBlocks = workers.arrays(BLOCK * BLOCK);
  }

  /** Copies a weight [rows, columns]; not to be called from inside a task. */
  void copy(Matrix weight) {
    from = weight;
    workers.parallel((rows + BLOCK - 1) / BLOCK, copyRows);
  }

  /** The latest copy, [columns, rows]. */
  Matrix matrix() {
    return transposed;
  }

  /** Some rows to columns, block by block through the heap. */
  private void copyRows(int task, int worker) {
    float[] block = blocks[worker];
    float[] turned = transposedBlocks[worker];
    int first = task * BLOCK;
    int count = Math.min(BLOCK, rows - first);
    for (int at = 0; at < columns; at += BLOCK) {
      int length = Math.min(BLOCK, columns - at);
      for (int row = 0; row < count; row++) {
        from.read((long) (first + row) * columns + at, block, row * length, length);
      }
      for (int row = 0; row < count; row++) {
        for (int column = 0; column < length; column++) {
          turned[column * count + row] = block[row * length + column];
        }
      }
      for (int column = 0; column < length; column++) {
        transposed.write((long) (at + column) * rows + first, turned, column * count, count);
      }
    }
  }
}
