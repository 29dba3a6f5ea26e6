package dev.topknot.processor.model;

import dev.topknot.dsl.ActivationFunction;

/**
 * What is applied to a layer's output, in this order.
 *
 * @param activation {@code IDENTITY} where there is none
 * @param dropout the probability of dropping an element, 0 where there is none
 * @param residual whether the layer's input is added
 */
public record Modifiers(ActivationFunction activation, double dropout, boolean residual) {
  /** Nothing is applied. */
  public static final Modifiers NONE = new Modifiers(ActivationFunction.IDENTITY, 0, false);
}
