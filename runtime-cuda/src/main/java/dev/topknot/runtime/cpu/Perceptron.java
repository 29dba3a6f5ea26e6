package dev.topknot.runtime.cpu;

/**
 * One hidden layer between two products, on contiguous rows: what an expert computes ([S17] section
 * 3.2), and a dense feed-forward layer too. Weights of the experts lie one after the other. Every
 * method works on the calling thread alone; the owner sets the operands and spreads the calls.
 */
abstract class Perceptron {
  /** Floats of a heap tile, small enough to stay in the first-level cache with a second one. */
  static final int TILE = 4096;

  /**
   * From so many rows to so many, a product with a transposed weight is faster as weight · inputᵀ:
   * the library packs the operand on the right by columns, which is slow for a weight that is then
   * used a few times only (oneDNN 3.11, 16 rows: 46 GFLOP/s as it stands, 60 to 70 turned).
   */
  private static final int FEW = 14;

  private static final int SOME = 64;

  final int width;
  final int hidden;
  final Gemm gemm;
  private final Matrix[] transposedOut;
  private final float[][] fromTiles;
  private final float[][] toTiles;

  /** Input rows, [slots, width]. */
  Matrix in;

  /** Output rows, [slots, width]. */
  Matrix out;

  /** Gradient of the output rows, [slots, width]; with gates, backward leaves gate times it. */
  Matrix dy;

  /** Gradient of the input rows, [slots, width]. */
  Matrix dIn;

  /** The gate value of each slot, or null where there is no gate. */
  float[] gates;

  /** Receives the gradient of each slot's gate value; null where there is no gate. */
  float[] dGates;

  Perceptron(Cpu cpu, int width, int hidden) {
    this.width = width;
    this.hidden = hidden;
    this.gemm = cpu.gemm();
    fromTiles = newTiles(cpu);
    toTiles = newTiles(cpu);
    transposedOut = new Matrix[fromTiles.length];
    for (int i = 0; i < transposedOut.length; i++) {
      transposedOut[i] = Scratch.matrix(Math.max(width, hidden), SOME);
    }
  }

  /** Computes output rows {@code first} to {@code first + rows} with the weights of an expert. */
  abstract void forward(int expert, int first, int rows, int worker);

  /** Computes again what forward kept of the same rows. */
  void recompute(int expert, int first, int rows, int worker) {
    forward(expert, first, rows, worker);
  }

  /**
   * Computes the gradients of the same rows' inputs and gates, and what the weight gradients need.
   */
  abstract void backward(int expert, int first, int rows, int worker);

  /** How many passes over all panels the weight gradients take. */
  abstract int gradientPasses();

  /** One pass of the weight gradients: over a panel's part of the outputs, or over its rows. */
  abstract void gradient(int pass, Panels panels, int panel, float beta, int worker);

  /** The weight gradients, one row block an expert. */
  abstract Matrix[] weightGradients();

  /** out = in · weightᵀ for rows of one expert; weight [outputs, inputs]. */
  final void product(
      Matrix a,
      long aAt,
      int inputs,
      Matrix weight,
      int outputs,
      Matrix c,
      long cAt,
      int expert,
      int rows,
      int worker) {
    long weightAt = (long) expert * outputs * inputs;
    if (rows < FEW || rows > SOME) {
      gemm.multiply(
          false, true, rows, outputs, inputs, 1, a, aAt, inputs, weight, weightAt, inputs, 0, c,
          cAt, outputs);
    } else {
      Matrix transposed = transposedOut[worker];
      gemm.multiply(
          false,
          true,
          outputs,
          rows,
          inputs,
          1,
          weight,
          weightAt,
          inputs,
          a,
          aAt,
          inputs,
          0,
          transposed,
          0,
          rows);
      transpose(transposed, outputs, rows, c, cAt, worker);
    }
  }

  /** Writes the transpose of the first floats of {@code from}, [rows, columns], to {@code to}. */
  private void transpose(Matrix from, int rows, int columns, Matrix to, long toAt, int worker) {
    float[] tile = fromTiles[worker];
    float[] turned = toTiles[worker];
    int step = tileRows(columns);
    for (int row = 0; row < rows; row += step) {
      int count = Math.min(step, rows - row);
      from.read((long) row * columns, tile, 0, count * columns);
      for (int j = 0; j < columns; j++) {
        for (int i = 0; i < count; i++) {
          turned[j * count + i] = tile[i * columns + j];
        }
        to.write(toAt + (long) j * rows + row, turned, j * count, count);
      }
    }
  }

  /** d in = d out · weight + beta · d in for rows of one expert; weight [outputs, inputs]. */
  final void productBack(
      Matrix dOut,
      int outputs,
      Matrix weight,
      int inputs,
      float beta,
      Matrix dInput,
      int expert,
      int first,
      int rows) {
    gemm.multiply(
        false,
        false,
        rows,
        inputs,
        outputs,
        1,
        dOut,
        (long) first * outputs,
        outputs,
        weight,
        (long) expert * outputs * inputs,
        inputs,
        beta,
        dInput,
        (long) first * inputs,
        inputs);
  }

  /**
   * d weight = d outᵀ · in + beta · d weight, over all rows of a panel's expert, for the panel's
   * part of the outputs.
   */
  final void productWeight(
      Matrix dOut,
      int outputs,
      Matrix input,
      int inputs,
      float beta,
      Matrix dWeight,
      Panels panels,
      int panel) {
    int from = Panels.border(outputs, panels.part(panel), panels.parts(panel));
    int to = Panels.border(outputs, panels.part(panel) + 1, panels.parts(panel));
    long row = panels.expertFirst(panel);
    gemm.multiply(
        true,
        false,
        to - from,
        inputs,
        panels.expertRows(panel),
        1,
        dOut,
        row * outputs + from,
        outputs,
        input,
        row * inputs,
        inputs,
        beta,
        dWeight,
        ((long) panels.expert(panel) * outputs + from) * inputs,
        inputs);
  }

  /** Multiplies rows of dy by their gates, where there are gates. */
  final void gateDy(int first, int rows, float[] tile) {
    if (gates == null) {
      return;
    }
    int step = tileRows(width);
    for (int done = 0; done < rows; done += step) {
      int count = Math.min(step, rows - done);
      long at = (long) (first + done) * width;
      dy.read(at, tile, 0, count * width);
      for (int i = 0; i < count; i++) {
        scale(tile, i * width, width, gates[first + done + i]);
      }
      dy.write(at, tile, 0, count * width);
    }
  }

  /** How many rows of so many columns make a tile. */
  static int tileRows(int columns) {
    return Math.max(1, TILE / columns);
  }

  /** Room for a tile of hidden rows or of outer rows, one a worker. */
  final float[][] newTiles(Cpu cpu) {
    return cpu.workers().arrays(Math.max(TILE, Math.max(width, hidden)));
  }

  static void scale(float[] values, int at, int count, float factor) {
    for (int i = at; i < at + count; i++) {
      values[i] *= factor;
    }
  }

  /** Σ a·b in eight interleaved sums, which keeps the adders busy and the error small. */
  static float dot(float[] a, int aAt, float[] b, int bAt, int count) {
    float s0 = 0;
    float s1 = 0;
    float s2 = 0;
    float s3 = 0;
    float s4 = 0;
    float s5 = 0;
    float s6 = 0;
    float s7 = 0;
    int i = 0;
    for (; i + 8 <= count; i += 8) {
      s0 += a[aAt + i] * b[bAt + i];
      s1 += a[aAt + i + 1] * b[bAt + i + 1];
      s2 += a[aAt + i + 2] * b[bAt + i + 2];
      s3 += a[aAt + i + 3] * b[bAt + i + 3];
      s4 += a[aAt + i + 4] * b[bAt + i + 4];
      s5 += a[aAt + i + 5] * b[bAt + i + 5];
      s6 += a[aAt + i + 6] * b[bAt + i + 6];
      s7 += a[aAt + i + 7] * b[bAt + i + 7];
    }
    for (; i < count; i++) {
      s0 += a[aAt + i] * b[bAt + i];
    }
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
  }
}
