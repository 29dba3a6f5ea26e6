package dev.topknot.it.reference;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Σ E_s(x) over the experts that every token visits, weights under names like shared.0.w1. */
public record Shared(List<Expert> experts) {
  /** Runs all of them; the sum of none is zero. */
  public Pass forward(Matrix x) {
    List<Pass> passes = experts.stream().map(expert -> expert.forward(x)).toList();
    Matrix zero = Matrix.zeros(x.rows(), x.columns());
    Matrix y = passes.stream().map(Pass::y).reduce(zero, Matrix::plus);
    return new Pass() {
      @Override
      public Matrix y() {
        return y;
      }

      @Override
      public Gradients backward(Matrix dy) {
        Matrix dx = zero;
        Map<String, Matrix> byName = new LinkedHashMap<>();
        for (int s = 0; s < passes.size(); s++) {
          Gradients gradients = passes.get(s).backward(dy);
          dx = dx.plus(gradients.x());
          String prefix = "shared." + s + ".";
          gradients.byName().forEach((name, gradient) -> byName.put(prefix + name, gradient));
        }
        return new Gradients(dx, byName);
      }
    };
  }
}
