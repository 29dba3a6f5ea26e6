package dev.topknot.runtime;

import java.util.List;

/** A layer's parameters by name, and whether they learn. */
public interface Layer {
  /** Name of the method that declares it, or of the interface of a layer that stands alone. */
  String name();

  /** The parameters in the order of the layout. */
  List<Parameter> parameters();

  /** Freezes or frees every parameter of this layer. */
  default void freeze(boolean frozen) {
    parameters().forEach(p -> p.freeze(frozen));
  }

  /** Whether every parameter of this layer is frozen. */
  default boolean frozen() {
    return parameters().stream().allMatch(Parameter::frozen);
  }
}
