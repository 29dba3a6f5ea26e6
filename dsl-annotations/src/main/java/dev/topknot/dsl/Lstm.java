package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * A long short-term memory over the time steps of a batch: [timesteps · batch, in] to [timesteps ·
 * batch, units]. Gates in the order i, f, g, o, forget bias initialised to 1. The state is carried
 * from batch to batch and gradients are cut there (truncated back-propagation through time).
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface Lstm {
  /** The number of cells, which is also the output's width. */
  int units();
}
