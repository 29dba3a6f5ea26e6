package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * A language model: an interface that extends {@code dev.topknot.runtime.LanguageModel} and
 * declares its layers as methods, applied in the order they are written: {@link Embedding} first,
 * {@link Softmax} last, between them {@link Lstm}, {@link Dense} and Mixture-of-Experts layers.
 *
 * <p>A batch holds batch · timesteps tokens, time-major: token t · batch + b is step t of sequence
 * b.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.TYPE)
public @interface MoEModel {
  /** The number of sequences that are trained side by side. */
  int batch();

  /** The number of time steps between two cuts of the gradient. */
  int timesteps();

  /** The optimizer planned beside the parameters. */
  Optimizer optimizer() default Optimizer.ADAM;

  /**
   * What the large products of its layers round their operands to. It holds for Mixture-of-Experts
   * layers too, whatever their own annotation says.
   */
  Precision precision() default Precision.FP32;
}
