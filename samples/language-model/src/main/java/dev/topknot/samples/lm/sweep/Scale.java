package dev.topknot.samples.lm.sweep;

import java.util.Locale;

/** How large the models of a sweep are; {@link SweepModel} has a column for each. */
public enum Scale {
  /** {@link Tiny}. */
  TINY(TopknotTiny_Lstm4.VOCABULARY),
  /** {@link Small}. */
  SMALL(TopknotSmall_Lstm4.VOCABULARY);

  private final int vocabulary;

  Scale(int vocabulary) {
    this.vocabulary = vocabulary;
  }

  /** Number of token ids of its models. */
  public int vocabulary() {
    return vocabulary;
  }

  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
