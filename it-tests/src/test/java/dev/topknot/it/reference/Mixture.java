package dev.topknot.it.reference;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * y = Σ_i G(x)_i E_i(x), computed only where G is not zero and summed in ascending expert order.
 */
public final class Mixture {
  private final Matrix y;
  private final Matrix gates;
  private final int[][] tokens;
  private final Pass[] experts;

  /**
   * Dispatches, computes and combines.
   *
   * @param x [tokens, width]
   * @param gates G, [tokens, experts]
   * @param experts the experts, as many as the columns of {@code gates}
   */
  public Mixture(Matrix x, Matrix gates, List<Expert> experts) {
    if (experts.size() != gates.columns()) {
      throw new IllegalArgumentException(
          "expected " + gates.columns() + " experts, got " + experts.size());
    }
    this.gates = gates;
    this.y = Matrix.zeros(x.rows(), x.columns());
    this.tokens = new int[experts.size()][];
    this.experts = new Pass[experts.size()];
    for (int e = 0; e < experts.size(); e++) {
      int i = e;
      tokens[i] = IntStream.range(0, x.rows()).filter(t -> gates.get(t, i) != 0).toArray();
      this.experts[i] = experts.get(i).forward(x.gather(tokens[i]));
      y.scatterAdd(tokens[i], weighted(this.experts[i].y(), i));
    }
  }

  private Matrix weighted(Matrix rows, int expert) {
    Matrix result = rows.copy();
    for (int r = 0; r < rows.rows(); r++) {
      for (int j = 0; j < rows.columns(); j++) {
        result.set(r, j, gates.get(tokens[expert][r], expert) * rows.get(r, j));
      }
    }
    return result;
  }

  /** y, [tokens, width]; zero for a token without experts. */
  public Matrix y() {
    return y;
  }

  /** ⟨dy, E_i(x)⟩ where G is not zero, else 0: the gradient of the gate values. */
  public Matrix gateGradient(Matrix dy) {
    Matrix result = Matrix.zeros(gates.rows(), gates.columns());
    for (int i = 0; i < experts.length; i++) {
      Matrix outputs = experts[i].y();
      for (int r = 0; r < outputs.rows(); r++) {
        int t = tokens[i][r];
        result.set(t, i, dy.rows(t, t + 1).dot(outputs.rows(r, r + 1)));
      }
    }
    return result;
  }

  /**
   * The gradients of {@code x}, with the gate values as constants, and of the weights under names
   * like {@code experts.0.w1}; zero for an expert nobody chose.
   */
  public Gradients backward(Matrix dy) {
    Matrix dx = Matrix.zeros(y.rows(), y.columns());
    Map<String, Matrix> byName = new LinkedHashMap<>();
    for (int i = 0; i < experts.length; i++) {
      Gradients gradients = experts[i].backward(weighted(dy.gather(tokens[i]), i));
      dx.scatterAdd(tokens[i], gradients.x());
      String prefix = "experts." + i + ".";
      gradients.byName().forEach((name, gradient) -> byName.put(prefix + name, gradient));
    }
    return new Gradients(dx, byName);
  }
}
