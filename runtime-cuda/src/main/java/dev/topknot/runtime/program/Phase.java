package dev.topknot.runtime.program;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * A step of a program and what it costs when every token is valid, as the plan knows it.
 *
 * @param step its number in the program, from 0
 * @param layer to which it belongs; empty for the optimizer and for a layer that stands alone
 * @param call op and method, such as {@code Experts.backward}
 * @param traffic bytes between memory and cache: each operand once, twice where it is written,
 *     since a line is fetched before it is written to
 * @param products its matrix products
 */
public record Phase(int step, String layer, String call, long traffic, List<Product> products) {
  /** Copies the products. */
  public Phase {
    products = List.copyOf(products);
  }

  /** Called by generated code. */
  public Phase(int step, String layer, String call, long traffic, Product... products) {
    this(step, layer, call, traffic, List.of(products));
  }

  /** Called by generated code: the phases of a program's layers in the order of the steps. */
  @SafeVarargs
  public static List<Phase> inOrder(List<Phase>... parts) {
    List<Phase> phases = new ArrayList<>();
    for (List<Phase> part : parts) {
      phases.addAll(part);
    }
    phases.sort(Comparator.comparingInt(Phase::step));
    return List.copyOf(phases);
  }

  /** Floating-point operations of its products, a multiply-add counted as two. */
  public long flops() {
    return products.stream().mapToLong(Product::flops).sum();
  }

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

    /** out = in · weightᵀ */
    public static Product forward(long rows, long groups, long inputs, long outputs) {
      return new Product(Kind.FORWARD, rows, groups, inputs, outputs);
    }

    /** d in = d out · weight */
    public static Product inputGradient(long rows, long groups, long inputs, long outputs) {
      return new Product(Kind.INPUT_GRADIENT, rows, groups, inputs, outputs);
    }

    /** d weight = d outᵀ · in */
    public static Product weightGradient(long rows, long groups, long inputs, long outputs) {
      return new Product(Kind.WEIGHT_GRADIENT, rows, groups, inputs, outputs);
    }

    /** A multiply-add counted as two. */
    public long flops() {
      return 2 * rows * inputs * outputs;
    }
  }
}
