package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * Applies a function to each element of a layer's output, before {@link Dropout} and {@link
 * Residual}, in whichever order the three are written.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface Activation {
  /** The function; {@link ActivationFunction#SWIGLU} is not element-wise and is refused. */
  ActivationFunction value();
}
