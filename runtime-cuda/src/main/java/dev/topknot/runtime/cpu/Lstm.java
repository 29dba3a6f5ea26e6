package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * A long short-term memory layer over the time steps of a batch, gates in the order i, f, g, o:
 *
 * <pre>
 * z = x_t · Wxᵀ + h_(t−1) · Whᵀ + bias
 * i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
 * c_t = f · c_(t−1) + i · g;  h_t = o · tanh(c_t)
 * </pre>
 *
 * The products with x are one large product over all time steps, as are the gradients of the
 * weights. What is sequential, the recurrent product and the element-wise part of a step, is
 * divided into panels of units, one task each, so that a time step is one parallel call.
 *
 * <p>Token t · batch + b is time step t of sequence b. Of the last step only the valid sequences
 * are computed; for the others everything stays as it is, their carried state too.
 */
public final class Lstm {
  private static final int GATES = 4;

  /** Time steps from which the recurrent weights are transposed first. */
  private static final int TRANSPOSE_STEPS = 4;

  /** Rows and columns of a block that is transposed at once. */
  private static final int BLOCK = 64;

  private final Cpu cpu;
  private final int batch;
  private final int inputs;
  private final int units;

  /** Units of one task, and the number of tasks. */
  private final int panel;

  private final int panels;

  private final float[] biases;

  /** Of each panel, dL/dc of the step before, as [batch, panel] without gaps. */
  private final float[][] cellGradients;

  private final Tile[] tiles;

  /**
   * Whᵀ [units, 4 · units], or null where there are too few steps to pay for it: with few rows on
   * the left, the product with a matrix stored the other way round takes 1.7 times as long.
   */
  private final Matrix whTransposed;

  private final ColumnSums biasSums;

  private final Workers.Task transposeColumns = this::transposeColumns;
  private final Workers.Task forwardPanel = this::forwardPanel;
  private final Workers.Task backwardPanel = this::backwardPanel;

  // Operands of the running call, and its time step.
  private Matrix wh;
  private Matrix h0;
  private Matrix c0;
  private Matrix gates;
  private Matrix cells;
  private Matrix h;
  private Matrix dh;
  private int valid;
  private int step;

  /**
   * An LSTM layer.
   *
   * @param batch sequences
   * @param timesteps most time steps of a call
   * @param inputs width of x
   * @param units width of h and c
   */
  public Lstm(CpuContext context, String layer, int batch, int timesteps, int inputs, int units) {
    cpu = context.cpu();
    this.batch = batch;
    this.inputs = inputs;
    this.units = units;
    panel = panel(units);
    panels = (units + panel - 1) / panel;
    biases = new float[GATES * units];
    cellGradients = new float[panels][batch * panel];
    tiles = new Tile[cpu.workers().threads()];
    Arrays.setAll(tiles, i -> new Tile(Math.max(batch * panel, BLOCK * BLOCK)));
    whTransposed = timesteps < TRANSPOSE_STEPS ? null : Scratch.matrix(units, (long) GATES * units);
    biasSums = new ColumnSums(cpu, GATES * units);
  }

  /** Wide enough for an efficient product, narrow enough for several threads. */
  static int panel(int units) {
    return units >= 512 ? 128 : 64;
  }

  /**
   * All time steps.
   *
   * @param x [tokens, inputs]
   * @param wx [4 · units, inputs]
   * @param wh [4 · units, units]
   * @param bias [1, 4 · units]
   * @param h0 [batch, units], the state before the first step
   * @param c0 [batch, units]
   * @param gates [tokens, 4 · units], i, f, g, o after their functions, which backward needs
   * @param cells [tokens, units], c
   * @param h [tokens, units], the output
   */
  public void forward(
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
    if (whTransposed != null && valid > 0) {
      cpu.workers().parallel((GATES * units + BLOCK - 1) / BLOCK, transposeColumns);
    }
    for (step = 0; step < steps(); step++) {
      cpu.workers().parallel(panels, forwardPanel);
    }
  }

  /**
   * The gradients of everything, from dL/dh. The state before the first step is a constant:
   * back-propagation is truncated there.
   *
   * @param gates as forward left them; become dL/dz
   * @param dh [tokens, units], gradient of the output; scratch afterwards
   * @param dx [tokens, inputs], overwritten
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix wx,
      Matrix wh,
      Matrix h0,
      Matrix c0,
      Matrix gates,
      Matrix cells,
      Matrix h,
      Matrix dh,
      Matrix dx,
      Matrix dWx,
      Matrix dWh,
      Matrix dBias) {
    valid = run.valid();
    this.wh = wh;
    this.c0 = c0;
    this.gates = gates;
    this.cells = cells;
    this.dh = dh;
    for (float[] gradient : cellGradients) {
      Arrays.fill(gradient, 0);
    }
    for (step = steps() - 1; step >= 0; step--) {
      cpu.workers().parallel(panels, backwardPanel);
    }
    int width = GATES * units;
    float beta = run.beta();
    cpu.multiplyParallel(
        false, false, valid, inputs, width, 1, gates, 0, width, wx, 0, inputs, 0, dx, 0, inputs);
    cpu.multiplyParallel(
        true, false, width, inputs, valid, 1, gates, 0, width, x, 0, inputs, beta, dWx, 0, inputs);
    // the first step's h_(t-1) is h0, every other's is the row one batch before
    int first = Math.min(batch, valid);
    cpu.multiplyParallel(
        true, false, width, units, first, 1, gates, 0, width, h0, 0, units, beta, dWh, 0, units);
    if (valid > batch) {
      long second = (long) batch * width;
      cpu.multiplyParallel(
          true,
          false,
          width,
          units,
          valid - batch,
          1,
          gates,
          second,
          width,
          h,
          0,
          units,
          1,
          dWh,
          0,
          units);
    }
    biasSums.add(gates, valid, beta, dBias);
  }

  /**
   * Copies the last valid h and c of every sequence into the state for the next call.
   *
   * @param cells as forward left them
   * @param h as forward left it
   */
  public void commit(Run run, Matrix cells, Matrix h, Matrix h0, Matrix c0) {
    float[] line = biases; // free between calls, and long enough
    int valid = run.valid();
    for (int sequence = 0; sequence < Math.min(batch, valid); sequence++) {
      long last = (long) (valid - 1 - sequence) / batch * batch + sequence;
      h.read(last * units, line, 0, units);
      h0.write((long) sequence * units, line, 0, units);
      cells.read(last * units, line, 0, units);
      c0.write((long) sequence * units, line, 0, units);
    }
  }

  private int steps() {
    return (valid + batch - 1) / batch;
  }

  /** Valid sequences of a time step. */
  private int rows(int step) {
    return Math.min(batch, valid - step * batch);
  }

  /** Some rows of Wh to columns of its transpose, block by block through the heap. */
  private void transposeColumns(int task, int worker) {
    float[] block = tiles[worker].i;
    float[] transposed = tiles[worker].f;
    int width = GATES * units;
    int from = task * BLOCK;
    int count = Math.min(BLOCK, width - from);
    for (int unit = 0; unit < units; unit += BLOCK) {
      int length = Math.min(BLOCK, units - unit);
      load(wh, (long) from * units + unit, units, count, block, length);
      for (int row = 0; row < count; row++) {
        for (int column = 0; column < length; column++) {
          transposed[column * count + row] = block[row * length + column];
        }
      }
      store(transposed, count, whTransposed, (long) unit * width + from, width, length);
    }
  }

  private void forwardPanel(int task, int worker) {
    int from = task * panel;
    int count = Math.min(panel, units - from);
    int rows = rows(step);
    int width = GATES * units;
    long first = (long) step * batch;
    Matrix before = step == 0 ? h0 : h;
    long beforeAt = step == 0 ? 0 : (first - batch) * units;
    for (int gate = 0; gate < GATES; gate++) {
      int column = gate * units + from;
      Matrix weights = whTransposed == null ? wh : whTransposed;
      long weightsAt = whTransposed == null ? (long) column * units : column;
      int stride = whTransposed == null ? units : width;
      cpu.gemm()
          .multiply(
              false,
              whTransposed == null,
              rows,
              count,
              units,
              1,
              before,
              beforeAt,
              units,
              weights,
              weightsAt,
              stride,
              1,
              gates,
              first * width + column,
              width);
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
    store(tile.t, count, h, first * units + from, units, rows);
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

  private void backwardPanel(int task, int worker) {
    int from = task * panel;
    int count = Math.min(panel, units - from);
    int rows = rows(step);
    int width = GATES * units;
    long first = (long) step * batch;
    if (step < steps() - 1) {
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
              units,
              1,
              dh,
              first * units + from,
              units);
    }
    Tile tile = tiles[worker];
    loadGates(tile, first, from, rows, count);
    loadCellsBefore(tile, from, rows, count);
    load(cells, first * units + from, units, rows, tile.t, count);
    load(dh, first * units + from, units, rows, tile.dh, count);
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
    float[] dh = tile.dh;
    for (int j = 0; j < size; j++) {
      float in = i[j];
      float forget = f[j];
      float value = g[j];
      float out = o[j];
      float tanh = t[j];
      float dCell = dc[j] + dh[j] * out * (1 - tanh * tanh);
      i[j] = dCell * value * in * (1 - in);
      f[j] = dCell * c[j] * forget * (1 - forget);
      g[j] = dCell * in * (1 - value * value);
      o[j] = dh[j] * tanh * out * (1 - out);
      dc[j] = dCell * forget;
    }
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

    /** tanh of the cells after the step; in forward h in the end. */
    final float[] t;

    final float[] dh;

    Tile(int size) {
      i = new float[size];
      f = new float[size];
      g = new float[size];
      o = new float[size];
      c = new float[size];
      t = new float[size];
      dh = new float[size];
    }
  }
}
