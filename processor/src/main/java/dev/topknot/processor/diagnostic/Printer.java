package dev.topknot.processor.diagnostic;

import dev.topknot.processor.model.Site;

/** Knows where places are and prints on them. */
public interface Printer {
  /** A number that grows with the position in the user's sources, as far as it is known. */
  long order(Site site);

  /** Whether {@code @SuppressWarnings} around a place names the code. */
  boolean suppressed(Site site, String code);

  /** Prints a finding on its place. */
  void print(Finding finding);
}
