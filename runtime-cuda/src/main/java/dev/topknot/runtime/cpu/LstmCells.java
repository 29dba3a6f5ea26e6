package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * What long short-term memories have in common, whatever they make of o · tanh(c): the gates and
 * cells of a time step, in panels of units, one task each, and what is done for all time steps at
 * once, which is the product with x and the gradients of x and of the weights.
 *
 * <p>Token t · batch + b is time step t of sequence b. Of the last step only the valid sequences
 * are computed; for the others everything stays as it is, their carried state too.
 */
abstract class LstmCells {
  private static final int GATES = 4;

  /** Time steps from which the weights of a step are transposed first. */
  private static final int TRANSPOSE_STEPS = 4;

  final Cpu cpu;
  final int batch;
  final int inputs;
  final int units;

  /** The width of h. */
  final int outputs;

  /** Units of one task, and the number of tasks. */
  private final int panel;

  final int panels;

  private final float[] biases;

  /** Of each panel, dL/dc of the step before, as [batch, panel] without gaps. */
  private final float[][] cellGradients;

  private final Tile[] tiles;

  /** Of Wh [4 · units, outputs]. */
  private final Transposed whTransposed;

  private final ColumnSums biasSums;

  // Operands of the running call, and its time step.
  private Matrix wh;
  private Matrix h0;
  private Matrix c0;
  private Matrix gates;
  private Matrix cells;
  Matrix h;
  Matrix dh;
  int valid;
  int step;

  LstmCells(Cpu cpu, int batch, int timesteps, int inputs, int units, int outputs) {
    this.cpu = cpu;
    this.batch = batch;
    this.inputs = inputs;
    this.units = units;
    this.outputs = outputs;
    panel = panel(units);
    panels = (units + panel - 1) / panel;
    biases = new float[GATES * units];
    cellGradients = new float[panels][batch * panel];
    tiles = new Tile[cpu.workers().threads()];
    Arrays.setAll(tiles, i -> new Tile(batch * panel));
    whTransposed = transposed(GATES * units, outputs, timesteps);
    biasSums = new ColumnSums(cpu, GATES * units);
  }

  /** Wide enough for an efficient product, narrow enough for several threads. */
  static int panel(int units) {
    return units >= 512 ? 128 : 64;
  }

  /** The transpose of a weight of each step, or null where there are too few to pay for it. */
  final Transposed transposed(int rows, int columns, int timesteps) {
    return timesteps < TRANSPOSE_STEPS ? null : new Transposed(cpu, rows, columns);
  }

  /** Keeps the operands, and multiplies x. */
  final void beginForward(
      Run run,
      Matrix x,
      Matrix wx,
      Matrix wh,
      Matrix bias,
      Matrix h0,
      Matrix c0,
      Matrix gates,
      Matrix cells,
      Matrix h) {
    valid = run.valid();
    this.wh = wh;
    this.h0 = h0;
    this.c0 = c0;
    this.gates = gates;
    this.cells = cells;
    this.h = h;
    bias.read(0, biases, 0, biases.length);
    int width = GATES * units;
    cpu.multiplyParallel(
        false, true, valid, width, inputs, 1, x, 0, inputs, wx, 0, inputs, 0, gates, 0, width);
    copy(wh, whTransposed);
  }

  /** Transposes a weight for the steps of this call, if it is to be. */
  final void copy(Matrix weight, Transposed transposed) {
    if (transposed != null && valid > 0) {
      transposed.copy(weight);
    }
  }

  /** Of one panel: gates and cells of the step, and o · tanh(c) into {@code out} [., units]. */
  final void forwardPanel(int task, int worker, Matrix out) {
    int from = task * panel;
    int count = Math.min(panel, units - from);
    int rows = rows(step);
    int width = GATES * units;
    long first = (long) step * batch;
    Matrix before = step == 0 ? h0 : h;
    long beforeAt = step == 0 ? 0 : (first - batch) * outputs;
    for (int gate = 0; gate < GATES; gate++) {
      int column = gate * units + from;
      multiplyRows(
          before, beforeAt, outputs, wh, whTransposed, column, count, 1, gates, first, width);
    }
    Tile tile = tiles[worker];
    loadGates(tile, first, from, rows, count);
    loadCellsBefore(tile, from, rows, count);
    addBias(tile.i, 0, from, rows, count);
    addBias(tile.f, 1, from, rows, count);
    addBias(tile.g, 2, from, rows, count);
    addBias(tile.o, 3, from, rows, count);
    int size = rows * count;
    VectorMath.sigmoid(tile.i, 0, tile.i, 0, size);
    VectorMath.sigmoid(tile.f, 0, tile.f, 0, size);
    VectorMath.tanh(tile.g, 0, tile.g, 0, size);
    VectorMath.sigmoid(tile.o, 0, tile.o, 0, size);
    nextCells(tile, size);
    VectorMath.tanh(tile.t, 0, tile.t, 0, size);
    for (int j = 0; j < size; j++) {
      tile.t[j] *= tile.o[j];
    }
    storeGates(tile, first, from, rows, count);
    store(tile.c, count, cells, first * units + from, units, rows);
    store(tile.t, count, out, first * units + from, units, rows);
  }

  /**
   * In the rows of the step, columns {@code column} to {@code column + count} of {@code to} [.,
   * width] := a · weightᵀ + beta · themselves, with a [., depth] and a weight [width, depth].
   */
  final void multiplyRows(
      Matrix a,
      long aAt,
      int depth,
      Matrix weight,
      Transposed transposed,
      int column,
      int count,
      float beta,
      Matrix to,
      long first,
      int width) {
    boolean plain = transposed == null;
    cpu.gemm()
        .multiply(
            false,
            plain,
            rows(step),
            count,
            depth,
            1,
            a,
            aAt,
            depth,
            plain ? weight : transposed.matrix(),
            plain ? (long) column * depth : column,
            plain ? depth : width,
            beta,
            to,
            first * width + column,
            width);
  }

  /** c := f · c + i · g, and a copy of it in t. */
  private static void nextCells(Tile tile, int size) {
    float[] i = tile.i;
    float[] f = tile.f;
    float[] g = tile.g;
    float[] c = tile.c;
    float[] t = tile.t;
    for (int j = 0; j < size; j++) {
      float next = f[j] * c[j] + i[j] * g[j];
      c[j] = next;
      t[j] = next;
    }
  }

  /** Keeps the operands; the step after the last has no gradient. */
  final void beginBackward(Run run, Matrix wh, Matrix c0, Matrix gates, Matrix cells, Matrix dh) {
    valid = run.valid();
    this.wh = wh;
    this.c0 = c0;
    this.gates = gates;
    this.cells = cells;
    this.dh = dh;
    for (float[] gradient : cellGradients) {
      Arrays.fill(gradient, 0);
    }
  }

  /** Adds what the step after gives to dh of the step, dz · Wh, in so many columns. */
  final void addFromStepAfter(int from, int count) {
    if (step == steps() - 1) {
      return;
    }
    int width = GATES * units;
    long first = (long) step * batch;
    cpu.gemm()
        .multiply(
            false,
            false,
            rows(step + 1),
            count,
            width,
            1,
            gates,
            (first + batch) * width,
            width,
            wh,
            from,
            outputs,
            1,
            dh,
            first * outputs + from,
            outputs);
  }

  /** The first unit of a panel. */
  final int from(int task) {
    return task * panel;
  }

  /** The units of a panel. */
  final int count(int task) {
    return Math.min(panel, units - from(task));
  }

  /**
   * Of one panel: the gates of the step become dL/dz.
   *
   * @param dOut gradient of o · tanh(c), [., units], of which the step's begins at {@code at}
   */
  final void backwardPanel(int task, int worker, Matrix dOut, long at) {
    int from = from(task);
    int count = count(task);
    int rows = rows(step);
    long first = (long) step * batch;
    Tile tile = tiles[worker];
    loadGates(tile, first, from, rows, count);
    loadCellsBefore(tile, from, rows, count);
    load(cells, first * units + from, units, rows, tile.t, count);
    load(dOut, at + from, units, rows, tile.dOut, count);
    int size = rows * count;
    VectorMath.tanh(tile.t, 0, tile.t, 0, size);
    gateGradients(tile, cellGradients[task], size);
    storeGates(tile, first, from, rows, count);
  }

  /** Turns the gates of a tile into dL/dz, and dL/dc of this step into that of the one before. */
  private static void gateGradients(Tile tile, float[] dc, int size) {
    float[] i = tile.i;
    float[] f = tile.f;
    float[] g = tile.g;
    float[] o = tile.o;
    float[] c = tile.c;
    float[] t = tile.t;
    float[] dOut = tile.dOut;
    for (int j = 0; j < size; j++) {
      float in = i[j];
      float forget = f[j];
      float value = g[j];
      float out = o[j];
      float tanh = t[j];
      float dCell = dc[j] + dOut[j] * out * (1 - tanh * tanh);
      i[j] = dCell * value * in * (1 - in);
      f[j] = dCell * c[j] * forget * (1 - forget);
      g[j] = dCell * in * (1 - value * value);
      o[j] = dOut[j] * tanh * out * (1 - out);
      dc[j] = dCell * forget;
    }
  }

  /** The gradients of x, of its weights, of the recurrent weights and of the bias. */
  final void endBackward(
      Run run,
      Matrix x,
      Matrix wx,
      Matrix h0,
      Matrix h,
      Matrix dx,
      Matrix dWx,
      Matrix dWh,
      Matrix dBias) {
    int width = GATES * units;
    float beta = run.beta();
    cpu.multiplyParallel(
        false, false, valid, inputs, width, 1, gates, 0, width, wx, 0, inputs, 0, dx, 0, inputs);
    cpu.multiplyParallel(
        true, false, width, inputs, valid, 1, gates, 0, width, x, 0, inputs, beta, dWx, 0, inputs);
    // the first step's h_(t-1) is h0, every other's is the row one batch before
    int first = Math.min(batch, valid);
    cpu.multiplyParallel(
        true, false, width, outputs, first, 1, gates, 0, width, h0, 0, outputs, beta, dWh, 0,
        outputs);
    if (valid > batch) {
      long second = (long) batch * width;
      cpu.multiplyParallel(
          true,
          false,
          width,
          outputs,
          valid - batch,
          1,
          gates,
          second,
          width,
          h,
          0,
          outputs,
          1,
          dWh,
          0,
          outputs);
    }
    biasSums.add(gates, valid, beta, dBias);
  }

  /**
   * Copies the last valid h and c of every sequence into the state for the next call.
   *
   * @param cells as forward left them
   * @param h as forward left it
   */
  public final void commit(Run run, Matrix cells, Matrix h, Matrix h0, Matrix c0) {
    float[] line = biases; // free between calls, and long enough
    int valid = run.valid();
    for (int sequence = 0; sequence < Math.min(batch, valid); sequence++) {
      long last = (long) (valid - 1 - sequence) / batch * batch + sequence;
      h.read(last * outputs, line, 0, outputs);
      h0.write((long) sequence * outputs, line, 0, outputs);
      cells.read(last * units, line, 0, units);
      c0.write((long) sequence * units, line, 0, units);
    }
  }

  /** Time steps with valid sequences. */
  final int steps() {
    return (valid + batch - 1) / batch;
  }

  /** Valid sequences of a time step. */
  final int rows(int step) {
    return Math.min(batch, valid - step * batch);
  }

  private void loadGates(Tile tile, long first, int from, int rows, int count) {
    int width = GATES * units;
    long at = first * width + from;
    load(gates, at, width, rows, tile.i, count);
    load(gates, at + units, width, rows, tile.f, count);
    load(gates, at + 2L * units, width, rows, tile.g, count);
    load(gates, at + 3L * units, width, rows, tile.o, count);
  }

  private void storeGates(Tile tile, long first, int from, int rows, int count) {
    int width = GATES * units;
    long at = first * width + from;
    store(tile.i, count, gates, at, width, rows);
    store(tile.f, count, gates, at + units, width, rows);
    store(tile.g, count, gates, at + 2L * units, width, rows);
    store(tile.o, count, gates, at + 3L * units, width, rows);
  }

  private void loadCellsBefore(Tile tile, int from, int rows, int count) {
    if (step == 0) {
      load(c0, from, units, rows, tile.c, count);
    } else {
      load(cells, (long) (step - 1) * batch * units + from, units, rows, tile.c, count);
    }
  }

  private void addBias(float[] z, int gate, int from, int rows, int count) {
    int at = gate * units + from;
    for (int row = 0; row < rows; row++) {
      for (int j = 0; j < count; j++) {
        z[row * count + j] += biases[at + j];
      }
    }
  }

  /** Copies {@code count} floats of each row, {@code stride} apart, into a tile without gaps. */
  private static void load(Matrix from, long at, int stride, int rows, float[] tile, int count) {
    for (int row = 0; row < rows; row++) {
      from.read(at + (long) row * stride, tile, row * count, count);
    }
  }

  private static void store(float[] tile, int count, Matrix to, long at, int stride, int rows) {
    for (int row = 0; row < rows; row++) {
      to.write(at + (long) row * stride, tile, row * count, count);
    }
  }

  /** One worker's [batch, panel] of each quantity of a time step. */
  private static final class Tile {
    final float[] i;
    final float[] f;
    final float[] g;
    final float[] o;

    /** The cells before the step; forward replaces them by those after it. */
    final float[] c;

    /** tanh of the cells after the step; in forward o · tanh(c) in the end. */
    final float[] t;

    /** Gradient of o · tanh(c). */
    final float[] dOut;

    Tile(int size) {
      i = new float[size];
      f = new float[size];
      g = new float[size];
      o = new float[size];
      c = new float[size];
      t = new float[size];
      dOut = new float[size];
    }
  }
}
