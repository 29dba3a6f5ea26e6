package dev.topknot.processor.check;

import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.model.Declaration;

/** Something that can be wrong with a declaration. */
@FunctionalInterface
interface Rule {
  /** Adds what is wrong to the findings, every instance of it. */
  void check(Declaration declaration, Findings findings);
}
