package dev.topknot.runtime.cpu;

/**
 * The matrix products of a gate: logits whose bits do not depend on how tokens are batched, and the
 * gradients of its input and weights. Tokens are worked on in blocks of fixed height, and what is
 * summed over tokens is summed block by block.
 */
final class GateProducts {
  /** Tokens of a block: a multiple of the height from which a row's bits are its own. */
  static final int BLOCK = 2 * Gemm.STABLE_ROWS;

  /** Rows and columns of the weight gradients that make a task. */
  private static final int TILE = 128;

  private final Workers workers;
  private final Gemm gemm;
  private final int width;
  private final int experts;
  private final float[] line;
  private final Matrix paddedX;
  private final Matrix padded;
  private final Workers.Task weightTask = this::weightTile;

  // Of the running call.
  private int valid;
  private float beta;
  private Matrix x;
  private Matrix firstGradient;
  private Matrix firstWeights;
  private Matrix secondGradient;
  private Matrix secondWeights;

  GateProducts(Cpu cpu, int width, int experts) {
    workers = cpu.workers();
    gemm = cpu.gemm();
    this.width = width;
    this.experts = experts;
    line = new float[Gemm.STABLE_ROWS * Math.max(width, experts)];
    paddedX = Scratch.matrix(Gemm.STABLE_ROWS, width);
    padded = Scratch.matrix(Gemm.STABLE_ROWS, experts);
  }

  /** How many blocks so many tokens make. */
  static int blocks(int tokens) {
    return (tokens + BLOCK - 1) / BLOCK;
  }

  /**
   * logits = x · weightsᵀ for the rows of a block. Rows that are left over from panels of {@link
   * Gemm#STABLE_ROWS} are multiplied in scratch with rows of older calls below them; only the last
   * block of a call has any.
   */
  void logits(Matrix x, Matrix weights, Matrix logits, int from, int rows) {
    int whole = rows - rows % Gemm.STABLE_ROWS;
    if (whole > 0) {
      logits(x, (long) from * width, weights, logits, (long) from * experts, whole);
    }
    if (whole < rows) {
      paddedLogits(x, weights, logits, from + whole, rows - whole);
    }
  }

  /** For fewer rows than a panel has. */
  private void paddedLogits(Matrix x, Matrix weights, Matrix logits, int from, int rows) {
    x.read((long) from * width, line, 0, rows * width);
    paddedX.write(0, line, 0, rows * width);
    logits(paddedX, 0, weights, padded, 0, Gemm.STABLE_ROWS);
    padded.read(0, line, 0, rows * experts);
    logits.write((long) from * experts, line, 0, rows * experts);
  }

  private void logits(Matrix x, long xAt, Matrix weights, Matrix logits, long at, int rows) {
    gemm.multiply(
        false, true, rows, experts, width, 1, x, xAt, width, weights, 0, width, 0, logits, at,
        experts);
  }

  /** dx += gradient · weights for the rows of a block. */
  void addInputGradient(Matrix gradient, Matrix weights, Matrix dx, int from, int rows) {
    gemm.multiply(
        false,
        false,
        rows,
        width,
        experts,
        1,
        gradient,
        (long) from * experts,
        experts,
        weights,
        0,
        width,
        1,
        dx,
        (long) from * width,
        width);
  }

  /**
   * weights = gradientᵀ · x + beta · weights for one or two gradients; the second may be null. Not
   * to be called from inside a task.
   */
  void weightGradients(
      Run run,
      Matrix x,
      Matrix firstGradient,
      Matrix firstWeights,
      Matrix secondGradient,
      Matrix secondWeights) {
    valid = run.valid();
    beta = run.beta();
    this.x = x;
    this.firstGradient = firstGradient;
    this.firstWeights = firstWeights;
    this.secondGradient = secondGradient;
    this.secondWeights = secondWeights;
    workers.parallel(tiles() * (secondGradient == null ? 1 : 2), weightTask);
  }

  private int tiles() {
    return ((experts + TILE - 1) / TILE) * ((width + TILE - 1) / TILE);
  }

  private void weightTile(int task, int worker) {
    boolean isFirst = task < tiles();
    int tile = task % tiles();
    int across = (width + TILE - 1) / TILE;
    int row = tile / across * TILE;
    int column = tile % across * TILE;
    gemm.multiply(
        true,
        false,
        Math.min(TILE, experts - row),
        Math.min(TILE, width - column),
        valid,
        1,
        isFirst ? firstGradient : secondGradient,
        row,
        experts,
        x,
        column,
        width,
        beta,
        isFirst ? firstWeights : secondWeights,
        (long) row * width + column,
        width);
  }
}
