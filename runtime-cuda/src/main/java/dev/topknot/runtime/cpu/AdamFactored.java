package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Moment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Adam without a first moment and with a factored second one ([S17] app. D), with bias correction
 * and clipping by the global norm, over every matrix of a layout; a bias is one of one row. Of each
 * matrix it keeps running means of its squared gradients over each row, R, and over each column, C;
 * R Cᵀ / mean(R) stands for the second moment of Adam, and is exactly that of a matrix with one row
 * or one column. Where the mean is 0, as of an expert that was never used, the second moment is 0.
 *
 * <p>Matrices are walked in tiles that depend on the layout only. Frozen tensors are left out of
 * the norm and keep their values and means.
 */
public final class AdamFactored {
  private static final int TILE_ROWS = 256;
  private static final int TILE_COLUMNS = 512;

  /** Rows whose squares are added up at a time. */
  private static final int ROWS = 4;

  private final Workers workers;
  private final Tensor[] tensors;
  private final Tile[] tiles;
  private final double[] tileSquares;
  private final double[] rowSums;
  private final double[] columnSums;
  private final double[] means;
  private final Buffers[] buffers;

  private final Workers.Task sums = this::sums;
  private final Workers.Task move = this::move;
  private final Workers.Task step = this::step;

  // Operands of the running call.
  private Run run;
  private Matrix parameters;
  private Matrix gradients;
  private Matrix rowMeans;
  private Matrix columnMeans;

  // The constants of the step, bias correction folded in.
  private float clip;
  private float keep;
  private float add;
  private float rate;
  private float rootScale;
  private float epsilon;

  /** An optimizer of all parameters of the context's layout. */
  public AdamFactored(CpuContext context) {
    workers = context.cpu().workers();
    Layout layout = context.layout();
    List<Tensor> allTensors = new ArrayList<>();
    List<Tile> allTiles = new ArrayList<>();
    long nextRowSum = 0;
    long nextColumnSum = 0;
    for (Layout.Slice slice : layout.slices()) {
      long rows = slice.of().rows();
      long columns = slice.of().columns();
      Tensor tensor =
          new Tensor(
              slice,
              Moment.ROW_MEANS.offset(layout, slice),
              Moment.COLUMN_MEANS.offset(layout, slice),
              Math.toIntExact(nextRowSum),
              Math.toIntExact(nextColumnSum));
      for (long row = 0; row < rows; row += TILE_ROWS) {
        for (long column = 0; column < columns; column += TILE_COLUMNS) {
          int width = (int) Math.min(TILE_COLUMNS, columns - column);
          int height = (int) Math.min(TILE_ROWS, rows - row);
          allTiles.add(new Tile(allTensors.size(), row, column, height, width));
        }
      }
      allTensors.add(tensor);
      nextRowSum += tensor.across() * rows;
      nextColumnSum += tensor.down() * columns;
    }
    tensors = allTensors.toArray(Tensor[]::new);
    tiles = allTiles.toArray(Tile[]::new);
    tileSquares = new double[tiles.length];
    rowSums = new double[Math.toIntExact(nextRowSum)];
    columnSums = new double[Math.toIntExact(nextColumnSum)];
    means = new double[tensors.length];
    buffers = new Buffers[workers.threads()];
    Arrays.setAll(buffers, i -> new Buffers());
  }

  /**
   * Writes the global norm of the gradients of all tensors that are not frozen into the run: the
   * root of the sum of squares, in double, tile after tile. Keeps each tile's sums over its rows
   * and columns for the update.
   *
   * @param gradients the whole arena, of the layout's size
   */
  public void norm(Run run, Matrix gradients) {
    this.run = run;
    this.gradients = gradients;
    workers.parallel(tiles.length, sums);
    double sum = 0;
    for (double squares : tileSquares) {
      sum += squares;
    }
    run.setGradientNorm(Math.sqrt(sum));
  }

  /**
   * One step with the constants of {@link Run#update()}, β1 left out: the squares of the gradient
   * g, scaled by min(1, clip / norm), move R and C; then p −= rate · g / (√v̂ + ε), where v̂ = R Cᵀ
   * / mean(R) is corrected for the {@link Run#step() step} + 1 updates it has seen. Follows {@link
   * #norm} of the same gradients.
   *
   * @param parameters the whole arena, of the layout's size, as are the gradients
   * @param gradients read, not changed by clipping
   * @param rowMeans R of one matrix after the other
   * @param columnMeans C of one matrix after the other
   */
  public void update(
      Run run, Matrix parameters, Matrix gradients, Matrix rowMeans, Matrix columnMeans) {
    this.run = run;
    this.parameters = parameters;
    this.gradients = gradients;
    this.rowMeans = rowMeans;
    this.columnMeans = columnMeans;
    Update update = run.update();
    clip = Adam.clip(run);
    keep = (float) update.beta2();
    add = (float) (1 - update.beta2());
    rate = (float) update.rate();
    rootScale = Adam.rootScale(run);
    epsilon = Adam.epsilon(update);
    workers.parallel(tensors.length, move);
    workers.parallel(tiles.length, step);
  }

  private boolean frozen(Tensor tensor) {
    return !run.nothingFrozen() && run.frozen(tensor.slice.entry(), tensor.slice.copy());
  }

  private void sums(int task, int worker) {
    Tile tile = tiles[task];
    Tensor tensor = tensors[tile.tensor];
    tileSquares[task] = 0;
    if (frozen(tensor)) {
      return;
    }
    float[] g = buffers[worker].g;
    double[] inColumn = buffers[worker].sums;
    int columns = tile.columns;
    Arrays.fill(inColumn, 0, columns, 0);
    int rowSum = tensor.rowSum(tile);
    for (int row = 0; row < tile.rows; row += ROWS) {
      int rows = Math.min(ROWS, tile.rows - row);
      if (columns == tensor.columns()) {
        gradients.read(tensor.offset(tile, row), g, 0, rows * columns);
      } else {
        for (int i = 0; i < rows; i++) {
          gradients.read(tensor.offset(tile, row + i), g, i * columns, columns);
        }
      }
      if (rows == ROWS) {
        addSquares(g, columns, inColumn, rowSums, rowSum + row);
      } else {
        for (int i = 0; i < rows; i++) {
          rowSums[rowSum + row + i] = addSquares(g, i * columns, columns, inColumn);
        }
      }
    }
    System.arraycopy(inColumn, 0, columnSums, tensor.columnSum(tile), columns);
    double sum = 0;
    for (int i = 0; i < columns; i++) {
      sum += inColumn[i];
    }
    tileSquares[task] = sum;
  }

  /** Four rows at a time: a sum by itself would wait for each addition before the next. */
  private static void addSquares(
      float[] g, int columns, double[] inColumn, double[] rowSums, int at) {
    double r0 = 0;
    double r1 = 0;
    double r2 = 0;
    double r3 = 0;
    for (int i = 0; i < columns; i++) {
      double g0 = g[i];
      double g1 = g[columns + i];
      double g2 = g[2 * columns + i];
      double g3 = g[3 * columns + i];
      g0 *= g0;
      g1 *= g1;
      g2 *= g2;
      g3 *= g3;
      r0 += g0;
      r1 += g1;
      r2 += g2;
      r3 += g3;
      inColumn[i] += (g0 + g1) + (g2 + g3);
    }
    rowSums[at] = r0;
    rowSums[at + 1] = r1;
    rowSums[at + 2] = r2;
    rowSums[at + 3] = r3;
  }

  /** One row, whose sum it returns. */
  private static double addSquares(float[] g, int from, int columns, double[] inColumn) {
    double sum = 0;
    for (int i = 0; i < columns; i++) {
      double square = (double) g[from + i] * g[from + i];
      inColumn[i] += square;
      sum += square;
    }
    return sum;
  }

  /** Moves the running means of one matrix, and takes the mean of those that are fewer. */
  private void move(int task, int worker) {
    Tensor tensor = tensors[task];
    if (frozen(tensor)) {
      return;
    }
    Buffers own = buffers[worker];
    long rows = tensor.rows();
    long columns = tensor.columns();
    double inRows =
        move(own, rowMeans, tensor.rowMean, rows, rowSums, tensor.rowSum, tensor.across(), columns);
    double inColumns =
        move(
            own,
            columnMeans,
            tensor.columnMean,
            columns,
            columnSums,
            tensor.columnSum,
            tensor.down(),
            rows);
    means[task] = rows <= columns ? inRows / rows : inColumns / columns;
  }

  /**
   * Moves some running means.
   *
   * @param from of the first
   * @param length how many
   * @param of sums, each of as many parts
   * @param first of the first part's, {@code length} before those of the next
   * @param over how many squares each is
   * @return the sum of the means
   */
  private double move(
      Buffers own,
      Matrix running,
      long from,
      long length,
      double[] of,
      int first,
      long parts,
      long over) {
    double scale = (double) clip * clip / over;
    double sum = 0;
    for (long at = 0; at < length; at += TILE_COLUMNS) {
      int count = (int) Math.min(TILE_COLUMNS, length - at);
      Arrays.fill(own.sums, 0, count, 0);
      for (long part = 0; part < parts; part++) {
        int start = (int) (first + part * length + at);
        for (int i = 0; i < count; i++) {
          own.sums[i] += of[start + i];
        }
      }
      running.read(from + at, own.c, 0, count);
      for (int i = 0; i < count; i++) {
        float mean =
            keep * own.c[i] + add * (float) (own.sums[i] * scale) + Adam.FLUSH - Adam.FLUSH;
        own.c[i] = mean;
        sum += mean;
      }
      running.write(from + at, own.c, 0, count);
    }
    return sum;
  }

  private void step(int task, int worker) {
    Tile tile = tiles[task];
    Tensor tensor = tensors[tile.tensor];
    if (frozen(tensor)) {
      return;
    }
    Buffers own = buffers[worker];
    double mean = means[tile.tensor];
    rowMeans.read(tensor.rowMean + tile.row, own.r, 0, tile.rows);
    columnMeans.read(tensor.columnMean + tile.column, own.c, 0, tile.columns);
    // short rows lie together: as many as a buffer takes are one, and the column means repeat
    int together = tile.columns == tensor.columns() ? TILE_COLUMNS / tile.columns : 1;
    for (int i = 1; i < Math.min(together, tile.rows); i++) {
      System.arraycopy(own.c, 0, own.c, i * tile.columns, tile.columns);
    }
    for (int row = 0; row < tile.rows; row += together) {
      int rows = Math.min(together, tile.rows - row);
      int count = rows * tile.columns;
      for (int i = 0; i < rows; i++) {
        float inRow = mean > 0 ? (float) (own.r[row + i] / mean) : 0;
        Arrays.fill(own.ratios, i * tile.columns, (i + 1) * tile.columns, inRow);
      }
      long from = tensor.offset(tile, row);
      parameters.read(from, own.p, 0, count);
      gradients.read(from, own.g, 0, count);
      step(own, count);
      parameters.write(from, own.p, 0, count);
    }
  }

  private void step(Buffers own, int count) {
    // locals, so that HotSpot need not assume that a store to an array changes a field
    float[] p = own.p;
    float[] g = own.g;
    float[] ratios = own.ratios;
    float[] c = own.c;
    float clip = this.clip;
    float rate = this.rate;
    float rootScale = this.rootScale;
    float epsilon = this.epsilon;
    for (int i = 0; i < count; i++) {
      float root = (float) Math.sqrt(ratios[i] * c[i]) * rootScale;
      p[i] -= rate * (clip * g[i]) / (root + epsilon);
    }
  }

  /**
   * A matrix.
   *
   * @param rowMean where its row means begin in their arena
   * @param columnMean where its column means begin in their arena
   * @param rowSum where its tiles' sums over rows begin: those of each column of tiles
   * @param columnSum where its tiles' sums over columns begin: those of each row of tiles
   */
  private record Tensor(
      Layout.Slice slice, long rowMean, long columnMean, int rowSum, int columnSum) {
    long rows() {
      return slice.of().rows();
    }

    long columns() {
      return slice.of().columns();
    }

    /** Tiles beside each other. */
    long across() {
      return (columns() + TILE_COLUMNS - 1) / TILE_COLUMNS;
    }

    /** Tiles below each other. */
    long down() {
      return (rows() + TILE_ROWS - 1) / TILE_ROWS;
    }

    int rowSum(Tile tile) {
      return (int) (rowSum + tile.column / TILE_COLUMNS * rows() + tile.row);
    }

    int columnSum(Tile tile) {
      return (int) (columnSum + tile.row / TILE_ROWS * columns() + tile.column);
    }

    /** Where a row of a tile begins in the arena of parameters. */
    long offset(Tile tile, int row) {
      return slice.offset() + (tile.row + row) * columns() + tile.column;
    }
  }

  /** Part of a matrix that one task walks. */
  private record Tile(int tensor, long row, long column, int rows, int columns) {}

  /** One worker's heap copies of a part of each arena. */
  private static final class Buffers {
    final float[] p = new float[TILE_COLUMNS];
    final float[] g = new float[ROWS * TILE_COLUMNS];
    final float[] r = new float[TILE_ROWS];
    final float[] ratios = new float[TILE_COLUMNS]; // of row means to the mean
    final float[] c = new float[TILE_COLUMNS];
    final double[] sums = new double[TILE_COLUMNS];
  }
}
