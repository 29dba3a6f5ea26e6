package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Repeatable;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The experts of a Mixture-of-Experts layer, or one kind of them: y = activation(x·W1ᵀ)·W2ᵀ without
 * bias, W1 [hidden, width], W2 [width, hidden] ([S17] app. C). Stands beside {@link MoELayer}.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target({ElementType.TYPE, ElementType.METHOD})
@Repeatable(Expert.Kinds.class)
public @interface Expert {
  /**
   * The widths of the hidden layers, one or several: with two, y =
   * activation(activation(x·W1ᵀ)·W2ᵀ)·W3ᵀ (MoE-1-Deep of [S17] app. C). {@link
   * ActivationFunction#SWIGLU} has one.
   */
  int[] hidden();

  /** The function of every hidden layer. */
  ActivationFunction activation() default ActivationFunction.RELU;

  /**
   * How many experts are of this kind. Has no default: one kind may leave it out and gets what the
   * others leave of {@link MoELayer#experts}; left out of {@link #shared} experts it is 1.
   */
  int count() default 0;

  /**
   * Whether every token visits these experts, without a gate: their outputs are added to those of
   * the experts that the gate chose, y = Σ gate · expert(x) + Σ shared(x). They are not among
   * {@link MoELayer#experts}.
   */
  boolean shared() default false;

  /**
   * Several kinds of experts in one layer. The kinds that the gate chooses from are numbered in the
   * order they are written: of 48 and 16, the experts of the second kind are 48 to 63.
   */
  @Documented
  @Retention(RetentionPolicy.CLASS)
  @Target({ElementType.TYPE, ElementType.METHOD})
  @interface Kinds {
    /** The kinds, in the order they are written. */
    Expert[] value();
  }
}
