package dev.topknot.processor.plan;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.LayerSpec;
import dev.topknot.processor.model.MoE;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Spec;

/**
 * What [S17] table 7 counts: biases, embedding and softmax are left out.
 *
 * @param parameters the weights
 * @param opsPerTimestep multiply-adds of one token's forward pass, active experts only
 */
public record Counts(long parameters, long opsPerTimestep) {
  private static final Counts NONE = new Counts(0, 0);

  /** Counts a spec. */
  public static Counts of(Spec spec) {
    if (spec instanceof LayerSpec layer) {
      return of(layer.moe(), layer.width());
    }
    Counts sum = NONE;
    int width = 0;
    for (ModelSpec.Layer layer : ((ModelSpec) spec).layers()) {
      sum = sum.plus(of(layer.kind(), width));
      width = width(layer.kind(), width);
    }
    return sum;
  }

  /** The width of a layer's output. */
  static int width(LayerKind kind, int inputs) {
    if (kind instanceof LayerKind.Embedding embedding) {
      return embedding.width();
    } else if (kind instanceof LayerKind.Lstm lstm) {
      return lstm.units();
    } else if (kind instanceof LayerKind.Dense dense) {
      return dense.units();
    }
    return inputs;
  }

  private static Counts of(LayerKind kind, int inputs) {
    if (kind instanceof LayerKind.Lstm lstm) {
      return dense(Math.multiplyExact((long) inputs + lstm.units(), 4L * lstm.units()));
    } else if (kind instanceof LayerKind.Dense dense) {
      return dense((long) inputs * dense.units());
    } else if (kind instanceof LayerKind.Experts experts) {
      return of(experts.moe(), inputs);
    }
    return NONE;
  }

  private static Counts of(MoE moe, int width) {
    int matrices = moe.expert().activation() == ActivationFunction.SWIGLU ? 3 : 2;
    long expert = Math.multiplyExact((long) matrices * width, (long) moe.expert().width());
    if (moe.experts() == 1) {
      return dense(expert);
    }
    int gateMatrices = moe.gating() == Gating.NOISY_TOP_K ? 2 : 1;
    long gate = (long) gateMatrices * width * moe.experts();
    long thresholds = moe.balanced() ? moe.experts() : 0;
    return new Counts(
        Math.addExact(gate + thresholds, Math.multiplyExact(expert, moe.experts())),
        Math.addExact(gate, Math.multiplyExact(expert, moe.k())));
  }

  private static Counts dense(long weights) {
    return new Counts(weights, weights);
  }

  private Counts plus(Counts other) {
    return new Counts(
        Math.addExact(parameters, other.parameters),
        Math.addExact(opsPerTimestep, other.opsPerTimestep));
  }
}
