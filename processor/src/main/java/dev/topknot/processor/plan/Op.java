package dev.topknot.processor.plan;

import java.util.List;

/**
 * An operation with fixed shapes. The simple name of its record, less the suffix {@code Op}, is the
 * name of the class that executes it on each device.
 */
public interface Op {
  /** The layer it belongs to. */
  String layer();

  /** The constants it is built with, in the order of the executing class's constructor. */
  List<Constant> constants();

  /**
   * Floating-point operations of a call, a multiply-add counted as two; only products count.
   *
   * @param method the call's method: {@code forward}, {@code backward}, …
   */
  long flops(String method);

  /** The part of the parameters that a call touches at most, in (0, 1]. */
  default double touched() {
    return 1;
  }

  /** The name of the class that executes it. */
  default String type() {
    String name = getClass().getSimpleName();
    return name.substring(0, name.length() - "Op".length());
  }

  /** The forward pass costs {@code products} multiply-adds, the backward pass twice as many. */
  static long forwardAndBackward(String method, long products) {
    return switch (method) {
      case "forward", "infer", "probabilities" -> 2 * products;
      case "backward" -> 4 * products;
      default -> 0;
    };
  }
}
