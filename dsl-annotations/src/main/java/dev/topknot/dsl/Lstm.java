package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * A long short-term memory over the time steps of a batch: [timesteps · batch, in] to [timesteps ·
 * batch, out], where out is the projection or, without one, the units. Gates in the order i, f, g,
 * o, forget bias initialised to 1. The state is carried from batch to batch and gradients are cut
 * there (truncated back-propagation through time).
 *
 * <p>With a projection ({@code LSTM-2048-512} of [S17] app. C is {@code @Lstm(units = 2048,
 * projection = 512)}) what a step gives, to the next layer and to the next step, is W_hr · (o ⊙
 * tanh(c)), with W_hr [projection, units].
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface Lstm {
  /** The number of cells; without a projection also the output's width. */
  int units();

  /**
   * The width that the output is projected to, below {@link #units}. Has no default: left out, the
   * output is not projected.
   */
  int projection() default 0;
}
