package dev.topknot.processor.plan;

import java.util.List;
import java.util.Locale;

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
   * The matrix products of a call when every token is valid.
   *
   * @param method the call's method: {@code forward}, {@code backward}, …
   */
  default List<Product> products(String method) {
    return List.of();
  }

  /** Floating-point operations of a call, a multiply-add counted as two; only products count. */
  default long flops(String method) {
    return products(method).stream().mapToLong(Product::flops).sum();
  }

  /** The part of the parameters that a call touches at most, in (0, 1]. */
  default double touched() {
    return 1;
  }

  /**
   * The part of the rows of its operands that a call touches if the load is balanced, in (0, 1].
   */
  default double share() {
    return 1;
  }

  /** The name of the class that executes it. */
  default String type() {
    String name = getClass().getSimpleName();
    return name.substring(0, name.length() - "Op".length());
  }

  /**
   * The kernels of a call on a CUDA device, in the order of their launch; empty if there are none.
   *
   * @param method the call's method: {@code forward}, {@code backward}, …
   */
  default List<Kernel> kernels(String method) {
    return List.of();
  }

  /** The constants that its kernels are built with; those that an instance may set are left out. */
  default List<Constant> traits() {
    return constants().stream().filter(it -> !(it.value() instanceof Double)).toList();
  }

  /** The macro of the CUDA sources that defines its kernels: {@code TOPKNOT_TOP_K_GATE}. */
  default String template() {
    return "TOPKNOT_" + type().replaceAll("(?<=.)(?=\\p{Lu})", "_").toUpperCase(Locale.ROOT);
  }

  /** The file with its {@link #template}: {@code top_k_gate} of {@code topknot/top_k_gate.cuh}. */
  default String source() {
    return template().substring("TOPKNOT_".length()).toLowerCase(Locale.ROOT);
  }
}
