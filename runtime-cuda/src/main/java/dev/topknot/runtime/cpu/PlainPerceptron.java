package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;

/** out = act(in · W1ᵀ) · W2ᵀ, W1 [hidden, width] and W2 [width, hidden] an expert, no bias. */
final class PlainPerceptron extends Perceptron {
  private final ActivationFunction activation;

  /** Whether backward needs the pre-activation: its output does not determine the slope. */
  private final boolean keepsInput;

  private final float[][] tiles;
  private final float[][] keptTiles;

  /** Where what is kept is not the activation: that of the panel a worker is at. */
  private final Matrix[] activated;

  private final Matrix[] gradients = new Matrix[2];

  /** Weights. */
  Matrix w1;

  Matrix w2;

  /** Kept from forward, [slots, hidden]: the activation, for GELU the pre-activation. */
  Matrix kept;

  /** Gradient of the pre-activation, [slots, hidden]; for GELU at last the activation itself. */
  Matrix dHidden;

  /** Gradients of the weights. */
  Matrix dW1;

  Matrix dW2;

  PlainPerceptron(Cpu cpu, int width, int hidden, ActivationFunction activation, int panelHeight) {
    super(cpu, width, hidden);
    if (activation == ActivationFunction.SWIGLU) {
      throw new IllegalArgumentException("SWIGLU has three weight matrices: use the Swiglu op");
    }
    this.activation = activation;
    this.keepsInput = Activations.keepsInput(activation);
    tiles = newTiles(cpu);
    keptTiles = newTiles(cpu);
    activated = new Matrix[keepsInput ? tiles.length : 0];
    for (int i = 0; i < activated.length; i++) {
      activated[i] = Scratch.matrix(panelHeight, hidden);
    }
  }

  @Override
  void recompute(int expert, int first, int rows, int worker) {
    preActivation(expert, first, rows, worker);
    if (!keepsInput) {
      activate(first, rows, kept, first, tiles[worker]);
    }
  }

  private void preActivation(int expert, int first, int rows, int worker) {
    long inAt = (long) first * width;
    product(in, inAt, width, w1, hidden, kept, (long) first * hidden, expert, rows, worker);
  }

  @Override
  void forward(int expert, int first, int rows, int worker) {
    long inAt = (long) first * width;
    preActivation(expert, first, rows, worker);
    Matrix a = keepsInput ? activated[worker] : kept;
    int aFirst = keepsInput ? 0 : first;
    activate(first, rows, a, aFirst, tiles[worker]);
    product(a, (long) aFirst * hidden, hidden, w2, width, out, inAt, expert, rows, worker);
  }

  /** Applies the activation to rows of {@code kept}; the result goes to {@code a}. */
  private void activate(int first, int rows, Matrix a, int aFirst, float[] tile) {
    int step = tileRows(hidden);
    for (int done = 0; done < rows; done += step) {
      int count = Math.min(step, rows - done) * hidden;
      kept.read((long) (first + done) * hidden, tile, 0, count);
      Activations.apply(activation, tile, 0, count);
      a.write((long) (aFirst + done) * hidden, tile, 0, count);
    }
  }

  @Override
  void backward(int expert, int first, int rows, int worker) {
    productBack(dy, width, w2, hidden, 0, dHidden, expert, first, rows);
    float[] tile = tiles[worker];
    float[] keptTile = keptTiles[worker];
    int step = tileRows(hidden);
    for (int done = 0; done < rows; done += step) {
      int count = Math.min(step, rows - done);
      long at = (long) (first + done) * hidden;
      dHidden.read(at, tile, 0, count * hidden);
      kept.read(at, keptTile, 0, count * hidden);
      if (gates != null) {
        gateGradients(first + done, count, tile, keptTile, at);
      }
      Activations.slope(activation, keptTile, 0, tile, 0, count * hidden);
      dHidden.write(at, tile, 0, count * hidden);
    }
    productBack(dHidden, hidden, w1, width, 0, dIn, expert, first, rows);
    gateDy(first, rows, tile);
  }

  /** dL/dG = ⟨dA′, A⟩ before dA′ is multiplied by the gate; then multiplies it. */
  private void gateGradients(int slot, int rows, float[] tile, float[] keptTile, long keptAt) {
    if (keepsInput) {
      Activations.apply(activation, keptTile, 0, rows * hidden);
    }
    for (int i = 0; i < rows; i++) {
      dGates[slot + i] = dot(tile, i * hidden, keptTile, i * hidden, hidden);
      scale(tile, i * hidden, hidden, gates[slot + i]);
    }
    if (keepsInput) {
      kept.read(keptAt, keptTile, 0, rows * hidden);
    }
  }

  @Override
  int gradientPasses() {
    return keepsInput ? 3 : 1;
  }

  @Override
  void gradient(int pass, Panels panels, int panel, float beta, int worker) {
    if (!keepsInput) {
      productWeight(dHidden, hidden, in, width, beta, dW1, panels, panel);
      productWeight(dy, width, kept, hidden, beta, dW2, panels, panel);
    } else if (pass == 0) {
      productWeight(dHidden, hidden, in, width, beta, dW1, panels, panel);
    } else if (pass == 1) { // dHidden has served: it takes the activation
      int first = panels.first(panel);
      activate(first, panels.rows(panel), dHidden, first, tiles[worker]);
    } else {
      productWeight(dy, width, dHidden, hidden, beta, dW2, panels, panel);
    }
  }

  @Override
  Matrix[] weightGradients() {
    gradients[0] = dW1;
    gradients[1] = dW2;
    return gradients;
  }
}
