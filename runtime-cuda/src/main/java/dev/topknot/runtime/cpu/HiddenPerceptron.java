package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;

/**
 * a = act(in · Wᵀ), W [hidden, width] an expert, no bias: one of several hidden layers of an
 * expert.
 */
final class HiddenPerceptron extends Perceptron {
  private final ActivationFunction activation;
  private final float[][] tiles;
  private final float[][] keptTiles;
  private final Matrix[] gradients = new Matrix[1];

  /** Weight. */
  Matrix w;

  /** What the slope needs, [slots, hidden]: the activation itself, for GELU its input. */
  Matrix z;

  /** The activation, [slots, hidden]. */
  Matrix a;

  /** Gradient of the activation, [slots, hidden]; backward makes it that of its input. */
  Matrix da;

  /** Gradient of the weight. */
  Matrix dW;

  HiddenPerceptron(Cpu cpu, int width, int hidden, ActivationFunction activation) {
    super(cpu, width, hidden);
    this.activation = activation;
    tiles = newTiles(cpu);
    keptTiles = newTiles(cpu);
  }

  @Override
  void forward(int expert, int first, int rows, int worker) {
    long hiddenAt = (long) first * hidden;
    product(in, (long) first * width, width, w, hidden, z, hiddenAt, expert, rows, worker);
    float[] tile = tiles[worker];
    int step = tileRows(hidden);
    for (int done = 0; done < rows; done += step) {
      int count = Math.min(step, rows - done) * hidden;
      long at = (long) (first + done) * hidden;
      z.read(at, tile, 0, count);
      Activations.apply(activation, tile, 0, count);
      a.write(at, tile, 0, count);
    }
  }

  @Override
  void backward(int expert, int first, int rows, int worker) {
    float[] tile = tiles[worker];
    float[] keptTile = keptTiles[worker];
    int step = tileRows(hidden);
    for (int done = 0; done < rows; done += step) {
      int count = Math.min(step, rows - done) * hidden;
      long at = (long) (first + done) * hidden;
      da.read(at, tile, 0, count);
      z.read(at, keptTile, 0, count);
      Activations.slope(activation, keptTile, 0, tile, 0, count);
      da.write(at, tile, 0, count);
    }
    productBack(da, hidden, w, width, 0, dIn, expert, first, rows);
  }

  @Override
  int gradientPasses() {
    return 1;
  }

  @Override
  void gradient(int pass, Panels panels, int panel, float beta, int worker) {
    productWeight(da, hidden, in, width, beta, dW, panels, panel);
  }

  @Override
  Matrix[] weightGradients() {
    gradients[0] = dW;
    return gradients;
  }
}
