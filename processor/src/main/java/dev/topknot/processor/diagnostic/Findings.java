package dev.topknot.processor.diagnostic;

import dev.topknot.processor.model.Site;

/** Takes the problems that rules find. */
@FunctionalInterface
public interface Findings {
  /**
   * Takes a problem.
   *
   * @param values what stands for the wording's placeholders, in the order of their first
   *     appearance
   */
  void add(Problem problem, Site site, Object... values);
}
