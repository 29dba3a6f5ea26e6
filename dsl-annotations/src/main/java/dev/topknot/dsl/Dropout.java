package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * In training, sets each element of a layer's output to zero with the given probability and divides
 * the others by 1 − rate; after {@link Activation}, before {@link Residual}. The mask comes from
 * the counter-based generator: the same seed, step and token drop the same elements on every
 * device.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface Dropout {
  /**
   * The probability of dropping an element, in [0, 1). May be overridden when the model is made.
   */
  double value();
}
