package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Repeatable;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The experts of a Mixture-of-Experts layer: y = activation(x·W1ᵀ)·W2ᵀ without bias, W1 [hidden,
 * width], W2 [width, hidden] ([S17] app. C). Stands beside {@link MoELayer}.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target({ElementType.TYPE, ElementType.METHOD})
@Repeatable(Expert.Kinds.class)
public @interface Expert {
  /** The width of the hidden layer. Several hidden layers are not supported yet: TK018. */
  int[] hidden();

  /** The function of the hidden layer. */
  ActivationFunction activation() default ActivationFunction.RELU;

  /** Several kinds of experts in one layer. Not supported yet: TK011. */
  @Documented
  @Retention(RetentionPolicy.CLASS)
  @Target({ElementType.TYPE, ElementType.METHOD})
  @interface Kinds {
    /** The kinds, in the order they are written. */
    Expert[] value();
  }
}
