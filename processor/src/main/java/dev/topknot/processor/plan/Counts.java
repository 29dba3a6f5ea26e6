package dev.topknot.processor.plan;

import dev.topknot.dsl.Gating;
import dev.topknot.processor.model.ExpertKind;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.LayerSpec;
import dev.topknot.processor.model.MoE;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Spec;
import java.util.List;

/**
 * What [S17] table 7 counts: biases, embedding and softmax are left out.
 *
 * @param parameters the weights
 * @param opsPerTimestep multiply-adds of one token's forward pass, active experts only: those that
 *     every token visits, and k of the others, of each kind its part of the experts
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
      return lstm.outputs();
    } else if (kind instanceof LayerKind.Dense dense) {
      return dense.units();
    }
    return inputs;
  }

  private static Counts of(LayerKind kind, int inputs) {
    if (kind instanceof LayerKind.Lstm lstm) {
      long gates = Math.multiplyExact((long) inputs + lstm.outputs(), 4L * lstm.units());
      long projection = lstm.projection().isPresent() ? (long) lstm.units() * lstm.outputs() : 0;
      return dense(Math.addExact(gates, projection));
    } else if (kind instanceof LayerKind.Dense dense) {
      return dense((long) inputs * dense.units());
    } else if (kind instanceof LayerKind.Experts experts) {
      return of(experts.moe(), inputs);
    }
    return NONE;
  }

  private static Counts of(MoE moe, int width) {
    long routed = weights(moe.routed(), width);
    Counts shared = dense(weights(moe.shared(), width));
    if (moe.experts() == 1) {
      return dense(routed).plus(shared);
    }
    long gateMatrices = moe.gating() == Gating.NOISY_TOP_K ? 2 : 1;
    long logits = moe.experts(); // of all gates, and those that a token meets
    long met = logits;
    if (moe.hierarchy().isPresent()) {
      MoE.Hierarchy hierarchy = moe.hierarchy().get();
      logits += hierarchy.groups();
      met = hierarchy.groups() + (long) hierarchy.k() * moe.groupSize();
    }
    Counts gate = new Counts(gateMatrices * width * logits, gateMatrices * width * met);
    // k of all experts if the load is balanced
    long active =
        routed / moe.experts() * moe.k() + routed % moe.experts() * moe.k() / moe.experts();
    long thresholds = moe.balanced() ? moe.experts() : 0;
    return gate.plus(new Counts(routed + thresholds, active)).plus(shared);
  }

  private static long weights(List<ExpertKind> kinds, int width) {
    long weights = 0;
    for (ExpertKind kind : kinds) {
      weights =
          Math.addExact(weights, Math.multiplyExact(kind.weights(width), (long) kind.count()));
    }
    return weights;
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
