package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * The rows of every expert cut into panels and listed largest first, so that threads which take
 * them in order finish together. An expert's panels depend on its own number of rows only: neither
 * on the other experts nor on the number of threads.
 *
 * <p>Panels of one expert also number the parts in which its weight gradients are computed, so that
 * a hot expert occupies every thread there too.
 */
final class Panels {
  /** Most rows of an expert's panel: where the matrix product has reached its speed. */
  static final int HEIGHT = 256;

  private final int height;
  private final int[] expert;
  private final int[] first;
  private final int[] rows;
  private final int[] part;
  private final int[] parts;
  private final int[] expertFirst;
  private final int[] expertRows;
  private final int[] begin;
  private int count;
  private boolean split;

  /**
   * Room for any routing.
   *
   * @param experts how many there are
   * @param slots most rows of all experts together
   * @param height most rows of a panel
   */
  Panels(int experts, int slots, int height) {
    this.height = height;
    int most = slots / height + Math.min(experts, slots);
    expert = new int[most];
    first = new int[most];
    rows = new int[most];
    part = new int[most];
    parts = new int[most];
    expertFirst = new int[most];
    expertRows = new int[most];
    begin = new int[height + 2];
  }

  /**
   * Cuts the rows of each expert evenly.
   *
   * @param offsets rows {@code offsets[e]} to {@code offsets[e + 1]} are those of expert e
   * @param experts how many
   */
  void cut(int[] offsets, int experts) {
    Arrays.fill(begin, 0);
    split = false;
    for (int e = 0; e < experts; e++) {
      int all = offsets[e + 1] - offsets[e];
      int pieces = pieces(all);
      split |= pieces > 1;
      for (int p = 0; p < pieces; p++) {
        begin[place(border(all, p + 1, pieces) - border(all, p, pieces)) + 1]++;
      }
    }
    for (int i = 0; i <= height; i++) {
      begin[i + 1] += begin[i];
    }
    count = begin[height];
    for (int e = 0; e < experts; e++) {
      int all = offsets[e + 1] - offsets[e];
      int pieces = pieces(all);
      for (int p = 0; p < pieces; p++) {
        int from = border(all, p, pieces);
        int to = border(all, p + 1, pieces);
        int at = begin[place(to - from)]++;
        expert[at] = e;
        first[at] = offsets[e] + from;
        rows[at] = to - from;
        part[at] = p;
        parts[at] = pieces;
        expertFirst[at] = offsets[e];
        expertRows[at] = all;
      }
    }
  }

  private int pieces(int all) {
    return (all + height - 1) / height;
  }

  /** The bucket of a panel: the more rows, the lower. */
  private int place(int panelRows) {
    return height - panelRows;
  }

  /** Where piece {@code p} of {@code pieces} nearly equal ones begins. */
  static int border(int all, int p, int pieces) {
    return (int) ((long) all * p / pieces);
  }

  /** How many panels. */
  int count() {
    return count;
  }

  /** Whether any expert has more panels than one. */
  boolean split() {
    return split;
  }

  /** The expert of a panel. */
  int expert(int panel) {
    return expert[panel];
  }

  /** The first slot of a panel. */
  int first(int panel) {
    return first[panel];
  }

  /** The rows of a panel, at least one. */
  int rows(int panel) {
    return rows[panel];
  }

  /** The number of a panel among those of its expert. */
  int part(int panel) {
    return part[panel];
  }

  /** How many panels its expert has. */
  int parts(int panel) {
    return parts[panel];
  }

  /** The first slot of its expert. */
  int expertFirst(int panel) {
    return expertFirst[panel];
  }

  /** All rows of its expert. */
  int expertRows(int panel) {
    return expertRows[panel];
  }
}
