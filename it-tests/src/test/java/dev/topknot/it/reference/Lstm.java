package dev.topknot.it.reference;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A long short-term memory layer with gates in the order i, f, g, o, and optionally a projection of
 * the output (LSTM-2048-512 of [S17] app. C). The forget bias of 1 is a matter of how {@code bias}
 * starts.
 *
 * @param inputWeights [4 · units, width]
 * @param recurrentWeights [4 · units, out]
 * @param bias one row of 4 · units
 * @param projection [out, units], or null where out = units
 * @param products how matrices are multiplied in the products over all time steps; those of a
 *     single step are exact
 */
public record Lstm(
    Matrix inputWeights,
    Matrix recurrentWeights,
    Matrix bias,
    Matrix projection,
    Products products) {
  /** A layer whose products are exact. */
  public Lstm(Matrix inputWeights, Matrix recurrentWeights, Matrix bias, Matrix projection) {
    this(inputWeights, recurrentWeights, bias, projection, Products.EXACT);
  }

  /** The cells a unit of time holds. */
  public int units() {
    return inputWeights.rows() / 4;
  }

  /**
   * Runs all time steps.
   *
   * @param x [steps · batch, width], the rows of one step together
   * @param h0 the output carried in, [batch, out]
   * @param c0 the cells carried in, [batch, units]
   */
  public Forward forward(Matrix x, Matrix h0, Matrix c0) {
    return new Forward(x, h0, c0);
  }

  /** The layer's forward pass. */
  public final class Forward implements Pass {
    private final int batch;
    private final int steps;
    private final Matrix x;
    private final Matrix y;
    // Index 0 is what was carried in.
    private final Matrix[] h;
    private final Matrix[] c;
    private final Pass[] in;
    private final Pass[] forget;
    private final Pass[] cell;
    private final Pass[] out;
    private final Pass[] tanh;

    private Forward(Matrix x, Matrix h0, Matrix c0) {
      this.x = x;
      batch = h0.rows();
      steps = x.rows() / batch;
      int units = units();
      y = Matrix.zeros(x.rows(), h0.columns());
      h = new Matrix[steps + 1];
      c = new Matrix[steps + 1];
      in = new Pass[steps];
      forget = new Pass[steps];
      cell = new Pass[steps];
      out = new Pass[steps];
      tanh = new Pass[steps];
      h[0] = h0;
      c[0] = c0;
      for (int s = 0; s < steps; s++) {
        Matrix z =
            products
                .timesTransposed(at(x, s), inputWeights)
                .plus(h[s].timesTransposed(recurrentWeights))
                .plusRow(bias);
        in[s] = Activation.SIGMOID.forward(z.columns(0, units));
        forget[s] = Activation.SIGMOID.forward(z.columns(units, 2 * units));
        cell[s] = Activation.TANH.forward(z.columns(2 * units, 3 * units));
        out[s] = Activation.SIGMOID.forward(z.columns(3 * units, 4 * units));
        c[s + 1] = forget[s].y().hadamard(c[s]).plus(in[s].y().hadamard(cell[s].y()));
        tanh[s] = Activation.TANH.forward(c[s + 1]);
        h[s + 1] = out[s].y().hadamard(tanh[s].y());
        if (projection != null) {
          h[s + 1] = h[s + 1].timesTransposed(projection);
        }
        System.arraycopy(
            h[s + 1].data(), 0, y.data(), s * y.columns() * batch, batch * y.columns());
      }
    }

    private Matrix at(Matrix sequence, int step) {
      return sequence.rows(step * batch, (step + 1) * batch);
    }

    /** The outputs, [steps · batch, out]. */
    @Override
    public Matrix y() {
      return y;
    }

    /** The last output, [batch, out], to be carried on. */
    public Matrix h() {
      return h(steps * batch);
    }

    /** The last cells, [batch, units], to be carried on. */
    public Matrix c() {
      return c(steps * batch);
    }

    /** Each sequence's last output where only the first {@code valid} rows count. */
    public Matrix h(int valid) {
      return last(h, valid);
    }

    /** Each sequence's last cells where only the first {@code valid} rows count. */
    public Matrix c(int valid) {
      return last(c, valid);
    }

    private Matrix last(Matrix[] states, int valid) {
      Matrix result = Matrix.zeros(batch, states[0].columns());
      for (int b = 0; b < batch; b++) {
        int stepsOfB = (valid - b + batch - 1) / batch;
        result.scatterAdd(new int[] {b}, states[stepsOfB].rows(b, b + 1));
      }
      return result;
    }

    /** Besides the parameters', yields the gradients of {@code h0} and {@code c0}. */
    @Override
    public Gradients backward(Matrix dy) {
      int units = units();
      Matrix dx = Matrix.zeros(x.rows(), x.columns());
      Matrix dInput = Matrix.zeros(inputWeights.rows(), inputWeights.columns());
      Matrix dRecurrent = Matrix.zeros(recurrentWeights.rows(), recurrentWeights.columns());
      Matrix dBias = Matrix.zeros(1, 4 * units);
      Matrix dProjection = projection == null ? null : projection.scaled(0);
      Matrix dh = Matrix.zeros(batch, y.columns());
      Matrix dc = Matrix.zeros(batch, units);
      for (int s = steps - 1; s >= 0; s--) {
        dh = dh.plus(at(dy, s));
        if (projection != null) {
          Matrix cellOutputs = out[s].y().hadamard(tanh[s].y());
          dProjection = dProjection.plus(products.transposedTimes(dh, cellOutputs));
          dh = dh.times(projection);
        }
        dc = dc.plus(tanh[s].backward(dh.hadamard(out[s].y())).x());
        Matrix[] parts = {
          in[s].backward(dc.hadamard(cell[s].y())).x(),
          forget[s].backward(dc.hadamard(c[s])).x(),
          cell[s].backward(dc.hadamard(in[s].y())).x(),
          out[s].backward(dh.hadamard(tanh[s].y())).x()
        };
        Matrix dz = beside(parts);
        dInput = dInput.plus(products.transposedTimes(dz, at(x, s)));
        dRecurrent = dRecurrent.plus(products.transposedTimes(dz, h[s]));
        dBias = dBias.plus(dz.columnSums());
        Matrix dxs = products.times(dz, inputWeights);
        System.arraycopy(dxs.data(), 0, dx.data(), s * batch * x.columns(), batch * x.columns());
        dh = dz.times(recurrentWeights);
        dc = dc.hadamard(forget[s].y());
      }
      Map<String, Matrix> byName = new LinkedHashMap<>();
      byName.put("h0", dh);
      byName.put("c0", dc);
      byName.put("inputWeights", dInput);
      byName.put("recurrentWeights", dRecurrent);
      byName.put("bias", dBias);
      if (projection != null) {
        byName.put("projection", dProjection);
      }
      return new Gradients(dx, byName);
    }
  }

  private static Matrix beside(Matrix[] parts) {
    int width = parts[0].columns();
    Matrix result = Matrix.zeros(parts[0].rows(), parts.length * width);
    for (int p = 0; p < parts.length; p++) {
      for (int i = 0; i < result.rows(); i++) {
        for (int j = 0; j < width; j++) {
          result.set(i, p * width + j, parts[p].get(i, j));
        }
      }
    }
    return result;
  }
}
