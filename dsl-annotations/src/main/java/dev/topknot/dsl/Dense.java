package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** A fully connected layer with bias: y = activation(x·Wᵀ + b), [tokens, in] to [tokens, units]. */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface Dense {
  /** The output's width. */
  int units();

  /** The function applied to x·Wᵀ + b. */
  ActivationFunction activation() default ActivationFunction.IDENTITY;
}
