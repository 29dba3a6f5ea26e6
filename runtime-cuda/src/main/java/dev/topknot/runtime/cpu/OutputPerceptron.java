package dev.topknot.runtime.cpu;

/** out = a · Wᵀ, W [width, hidden] an expert: what follows the last of several hidden layers. */
final class OutputPerceptron extends Perceptron {
  private final float[][] tiles;
  private final float[][] activationTiles;
  private final Matrix[] gradients = new Matrix[1];

  /** Weight. */
  Matrix w;

  /** Activation of the last hidden layer, [slots, hidden]. */
  Matrix a;

  /** Gradient of the activation, [slots, hidden]. */
  Matrix da;

  /** Gradient of the weight. */
  Matrix dW;

  OutputPerceptron(Cpu cpu, int width, int hidden) {
    super(cpu, width, hidden);
    tiles = newTiles(cpu);
    activationTiles = newTiles(cpu);
  }

  @Override
  void forward(int expert, int first, int rows, int worker) {
    long outAt = (long) first * width;
    product(a, (long) first * hidden, hidden, w, width, out, outAt, expert, rows, worker);
  }

  @Override
  void backward(int expert, int first, int rows, int worker) {
    productBack(dy, width, w, hidden, 0, da, expert, first, rows);
    float[] tile = tiles[worker];
    float[] activation = activationTiles[worker];
    int step = tileRows(hidden);
    for (int done = 0; done < rows; done += step) {
      int count = Math.min(step, rows - done);
      int slot = first + done;
      long at = (long) slot * hidden;
      da.read(at, tile, 0, count * hidden);
      a.read(at, activation, 0, count * hidden);
      for (int i = 0; i < count; i++) {
        dGates[slot + i] = dot(tile, i * hidden, activation, i * hidden, hidden);
        scale(tile, i * hidden, hidden, gates[slot + i]);
      }
      da.write(at, tile, 0, count * hidden);
    }
    gateDy(first, rows, tile);
  }

  @Override
  int gradientPasses() {
    return 1;
  }

  @Override
  void gradient(int pass, Panels panels, int panel, float beta, int worker) {
    productWeight(dy, width, a, hidden, beta, dW, panels, panel);
  }

  @Override
  Matrix[] weightGradients() {
    gradients[0] = dW;
    return gradients;
  }
}
