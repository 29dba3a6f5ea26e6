package dev.topknot.runtime.cpu;

/**
 * out = (silu(in · W1ᵀ) ⊙ (in · W3ᵀ)) · W2ᵀ, W1 and W3 [hidden, width] and W2 [width, hidden] an
 * expert, no bias.
 */
final class SwigluPerceptron extends Perceptron {
  private final float[][] tiles;
  private final float[][] uTiles;
  private final float[][] vTiles;
  private final float[][] sigmoidTiles;
  private final Matrix[] gradients = new Matrix[3];

  /** Weights. */
  Matrix w1;

  Matrix w2;
  Matrix w3;

  /** Kept from forward, [slots, hidden]: in · W1ᵀ and in · W3ᵀ. */
  Matrix u;

  Matrix v;

  /** The product silu(u) ⊙ v, [slots, hidden], recomputed in backward. */
  Matrix product;

  /** Gradients of u and v. */
  Matrix dU;

  Matrix dV;

  /** Gradients of the weights. */
  Matrix dW1;

  Matrix dW2;
  Matrix dW3;

  SwigluPerceptron(Cpu cpu, int width, int hidden) {
    super(cpu, width, hidden);
    tiles = newTiles(cpu);
    uTiles = newTiles(cpu);
    vTiles = newTiles(cpu);
    sigmoidTiles = newTiles(cpu);
  }

  @Override
  void recompute(int expert, int first, int rows, int worker) {
    long inAt = (long) first * width;
    long hiddenAt = (long) first * hidden;
    product(in, inAt, width, w1, hidden, u, hiddenAt, expert, rows, worker);
    product(in, inAt, width, w3, hidden, v, hiddenAt, expert, rows, worker);
  }

  @Override
  void forward(int expert, int first, int rows, int worker) {
    long inAt = (long) first * width;
    long hiddenAt = (long) first * hidden;
    recompute(expert, first, rows, worker);
    float[] uTile = uTiles[worker];
    float[] vTile = vTiles[worker];
    float[] sigmoid = sigmoidTiles[worker];
    int step = tileRows(hidden);
    for (int done = 0; done < rows; done += step) {
      int count = Math.min(step, rows - done) * hidden;
      long at = (long) (first + done) * hidden;
      u.read(at, uTile, 0, count);
      v.read(at, vTile, 0, count);
      VectorMath.sigmoid(uTile, 0, sigmoid, 0, count);
      for (int i = 0; i < count; i++) {
        vTile[i] *= uTile[i] * sigmoid[i];
      }
      product.write(at, vTile, 0, count);
    }
    product(product, hiddenAt, hidden, w2, width, out, inAt, expert, rows, worker);
  }

  @Override
  void backward(int expert, int first, int rows, int worker) {
    productBack(dy, width, w2, hidden, 0, dU, expert, first, rows);
    int step = tileRows(hidden);
    for (int done = 0; done < rows; done += step) {
      backTile(first + done, Math.min(step, rows - done), worker);
    }
    productBack(dU, hidden, w1, width, 0, dIn, expert, first, rows);
    productBack(dV, hidden, w3, width, 1, dIn, expert, first, rows);
    gateDy(first, rows, tiles[worker]);
  }

  /** From dA′ in dU: the gates' gradients, the product again, dU and dV. */
  private void backTile(int slot, int rows, int worker) {
    float[] d = tiles[worker];
    float[] uTile = uTiles[worker];
    float[] vTile = vTiles[worker];
    float[] sigmoid = sigmoidTiles[worker];
    int count = rows * hidden;
    long at = (long) slot * hidden;
    dU.read(at, d, 0, count);
    u.read(at, uTile, 0, count);
    v.read(at, vTile, 0, count);
    VectorMath.sigmoid(uTile, 0, sigmoid, 0, count);
    for (int i = 0; i < count; i++) {
      uTile[i] *= sigmoid[i]; // silu(u)
    }
    for (int i = 0; i < count; i++) {
      // silu′(u) = σ + silu(u)·(1 − σ)
      sigmoid[i] = (sigmoid[i] + uTile[i] * (1 - sigmoid[i])) * vTile[i];
    }
    for (int i = 0; i < count; i++) {
      vTile[i] *= uTile[i];
    }
    product.write(at, vTile, 0, count);
    if (gates != null) {
      for (int i = 0; i < rows; i++) {
        dGates[slot + i] = dot(d, i * hidden, vTile, i * hidden, hidden);
        scale(d, i * hidden, hidden, gates[slot + i]);
      }
    }
    for (int i = 0; i < count; i++) {
      sigmoid[i] *= d[i];
    }
    for (int i = 0; i < count; i++) {
      uTile[i] *= d[i];
    }
    dU.write(at, sigmoid, 0, count);
    dV.write(at, uTile, 0, count);
  }

  @Override
  int gradientPasses() {
    return 1;
  }

  @Override
  void gradient(int pass, Panels panels, int panel, float beta, int worker) {
    productWeight(dU, hidden, in, width, beta, dW1, panels, panel);
    productWeight(dV, hidden, in, width, beta, dW3, panels, panel);
    productWeight(dy, width, product, hidden, beta, dW2, panels, panel);
  }

  @Override
  Matrix[] weightGradients() {
    gradients[0] = dW1;
    gradients[1] = dW2;
    gradients[2] = dW3;
    return gradients;
  }
}
