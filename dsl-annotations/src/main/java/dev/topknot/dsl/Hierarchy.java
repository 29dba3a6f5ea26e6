package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * Two levels of gates in place of one ([S17] app. B): a primary gate chooses groups of experts, and
 * the secondary gate of each chosen group chooses among its experts; y = Σ primary gate · secondary
 * gate · expert(x). So a token meets the logits of its groups only, not those of all experts.
 * Stands beside {@link MoELayer}, whose {@link MoELayer#k} is then the number of experts in each
 * chosen group; its gating must be {@link Gating#NOISY_TOP_K}.
 *
 * <p>Experts {@code g * n / groups} to {@code (g + 1) * n / groups - 1} are those of group g.
 * Importance and load, and with them both losses and {@code Balance}, are those of all n experts.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target({ElementType.TYPE, ElementType.METHOD})
public @interface Hierarchy {
  /** The number of groups, 2 to 8191; a divisor of {@link MoELayer#experts}. */
  int groups();

  /** The number of groups that each token is sent to, 1 to {@link #groups}. */
  int k();
}
