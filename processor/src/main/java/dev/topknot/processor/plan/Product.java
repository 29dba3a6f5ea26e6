package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.List;

/**
 * Rows meet a weight [outputs, inputs], or the weights of several groups of rows.
 *
 * @param kind what is computed
 * @param rows of all groups together
 * @param groups in which the rows come: experts that have some, or time steps
 * @param inputs columns of the weight
 * @param outputs rows of the weight
 */
public record Product(Kind kind, long rows, long groups, long inputs, long outputs) {
  /** What is computed. */
  public enum Kind {
    /** out = in · weightᵀ */
    FORWARD,
    /** d in = d out · weight */
    INPUT_GRADIENT,
    /** d weight = d outᵀ · in */
    WEIGHT_GRADIENT
  }

  /** A multiply-add counted as two. */
  public long flops() {
    return 2 * rows * inputs * outputs;
  }

  /** The same in so many groups. */
  Product in(long number) {
    return new Product(kind, rows, number, inputs, outputs);
  }

  /** What a method computes with a weight: backward, both gradients. */
  static List<Product> of(String method, long rows, long groups, long inputs, long outputs) {
    return switch (method) {
      case "forward", "infer", "probabilities", "recompute" ->
          List.of(new Product(Kind.FORWARD, rows, groups, inputs, outputs));
      case "backward" ->
          List.of(
              new Product(Kind.INPUT_GRADIENT, rows, groups, inputs, outputs),
              new Product(Kind.WEIGHT_GRADIENT, rows, groups, inputs, outputs));
      default -> List.of();
    };
  }

  /** Those of several weights. */
  @SafeVarargs
  static List<Product> all(List<Product>... parts) {
    List<Product> all = new ArrayList<>();
    for (List<Product> part : parts) {
      all.addAll(part);
    }
    return List.copyOf(all);
  }
}
