package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;
import java.util.Arrays;

/**
 * What follows a layer, in this order: activation, dropout, residual connection. With u the layer's
 * output and x its input, y = dropout(f(u)) + x.
 *
 * <p>Dropout only acts in training. Whether element j of a token is kept is decided by the noise of
 * the token's global number, which backward draws again; what is kept is scaled by 1 / (1 − rate).
 */
public final class Pointwise {
  /** Floats that make a task worth its while. */
  private static final int CHUNK = 1 << 14;

  private final Workers workers;
  private final int width;
  private final ActivationFunction function;
  private final float rate;
  private final boolean residual;
  private final int stream;

  /** Rows of one task. */
  private final int chunk;

  private final Tile[] tiles;

  private final Workers.Task forwardRows = this::forwardRows;
  private final Workers.Task backwardRows = this::backwardRows;
  private final Workers.Task addRows = this::addRows;

  // Operands of the running call.
  private Run run;
  private Matrix from;
  private Matrix other;
  private Matrix to;

  /**
   * The modifiers of a layer.
   *
   * @param tokens most tokens of a call
   * @param width of a token
   * @param function IDENTITY where there is none
   * @param dropout annotated rate, 0 where there is none; the options may say otherwise
   * @param residual whether the layer's input is added
   * @param streamLayer number of the layer in noise streams
   */
  public Pointwise(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      ActivationFunction function,
      double dropout,
      boolean residual,
      int streamLayer) {
    workers = context.cpu().workers();
    this.width = width;
    this.function = function;
    this.rate = (float) context.options().dropout(layer, dropout);
    this.residual = residual;
    stream = Noise.stream(streamLayer, Noise.Purpose.DROPOUT, 0);
    chunk = Math.max(1, CHUNK / width);
    tiles = new Tile[workers.threads()];
    Arrays.setAll(tiles, i -> new Tile(width));
  }

  /**
   * y := dropout(f(u)) + x.
   *
   * @param u [tokens, width], the layer's output
   * @param x [tokens, width], its input; not read without a residual connection
   * @param y [tokens, width]
   */
  public void forward(Run run, Matrix u, Matrix x, Matrix y) {
    start(run, u, x, y, forwardRows);
  }

  /**
   * du := f′(u) · dropout(dy).
   *
   * @param u [tokens, width], as forward saw it
   * @param dy [tokens, width], gradient of y
   * @param du [tokens, width], gradient of u
   */
  public void backward(Run run, Matrix u, Matrix dy, Matrix du) {
    start(run, u, dy, du, backwardRows);
  }

  /**
   * dx += dy: the gradient that goes around the layer.
   *
   * @param dy [tokens, width], gradient of y
   * @param dx [tokens, width], gradient of x
   */
  public void addResidual(Run run, Matrix dy, Matrix dx) {
    start(run, dy, dx, dx, addRows);
  }

  private void start(Run run, Matrix from, Matrix other, Matrix to, Workers.Task rows) {
    this.run = run;
    this.from = from;
    this.other = other;
    this.to = to;
    workers.parallel((run.valid() + chunk - 1) / chunk, rows);
  }

  private int end(int task) {
    return Math.min(run.valid(), (task + 1) * chunk);
  }

  private void forwardRows(int task, int worker) {
    Tile tile = tiles[worker];
    for (int token = task * chunk; token < end(task); token++) {
      long at = (long) token * width;
      from.read(at, tile.a, 0, width);
      Activations.apply(function, tile.a, 0, width);
      drop(token, tile, tile.a);
      if (residual) {
        other.read(at, tile.b, 0, width);
        RowSums.add(tile.b, width, tile.a);
      }
      to.write(at, tile.a, 0, width);
    }
  }

  private void backwardRows(int task, int worker) {
    Tile tile = tiles[worker];
    for (int token = task * chunk; token < end(task); token++) {
      long at = (long) token * width;
      other.read(at, tile.a, 0, width);
      drop(token, tile, tile.a);
      if (function != ActivationFunction.IDENTITY) {
        from.read(at, tile.b, 0, width);
        if (!Activations.keepsInput(function)) {
          Activations.apply(function, tile.b, 0, width);
        }
        Activations.slope(function, tile.b, 0, tile.a, 0, width);
      }
      to.write(at, tile.a, 0, width);
    }
  }

  private void addRows(int task, int worker) {
    Tile tile = tiles[worker];
    for (int token = task * chunk; token < end(task); token++) {
      long at = (long) token * width;
      from.read(at, tile.a, 0, width);
      other.read(at, tile.b, 0, width);
      RowSums.add(tile.a, width, tile.b);
      to.write(at, tile.b, 0, width);
    }
  }

  /** Sets the dropped elements of a token to zero and scales the others. */
  private void drop(int token, Tile tile, float[] x) {
    if (rate == 0 || !run.training()) {
      return;
    }
    float[] u = tile.uniform;
    Noise.uniforms(run.seed(), run.step(), run.firstToken() + token, stream, u, 0, width);
    float scale = 1 / (1 - rate);
    for (int j = 0; j < width; j++) {
      x[j] = u[j] >= rate ? x[j] * scale : 0;
    }
  }

  /** One worker's copies of a row. */
  private static final class Tile {
    final float[] a;
    final float[] b;
    final float[] uniform;

    Tile(int width) {
      a = new float[width];
      b = new float[width];
      uniform = new float[width];
    }
  }
}
