package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * Sorts the pairs of tokens and chosen experts by expert, stable: within an expert tokens ascend. A
 * pair's place in that order is its slot.
 */
public final class Dispatch {
  private final int experts;
  private final int k;
  private final int[] expertOf;
  private final int[] begin;
  private final int[] token;
  private final int[] slot;

  /**
   * An op of fixed shapes.
   *
   * @param context unused: sorting takes less time than waking threads
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param experts number of experts, n
   * @param k experts a token
   */
  public Dispatch(CpuContext context, String layer, int tokens, int experts, int k) {
    this.experts = experts;
    this.k = k;
    int pairs = Math.multiplyExact(tokens, k);
    expertOf = new int[pairs];
    begin = new int[experts + 1];
    token = new int[pairs];
    slot = new int[pairs];
  }

  /**
   * Sorts.
   *
   * @param chosen the expert of each pair {@code token · k + choice}, [P]
   * @param offsets written: slots of expert e are {@code offsets[e]} to {@code offsets[e + 1]}, [n
   *     + 1]
   * @param rows written for valid tokens: the token of each slot, [P]
   * @param slots written for valid tokens: the slot of each pair, [P]
   */
  public void forward(Run run, Ints chosen, Ints offsets, Ints rows, Ints slots) {
    int pairs = run.valid() * k;
    chosen.read(0, expertOf, 0, pairs);
    Arrays.fill(begin, 0);
    for (int p = 0; p < pairs; p++) {
      begin[expertOf[p] + 1]++;
    }
    for (int e = 0; e < experts; e++) {
      begin[e + 1] += begin[e];
    }
    offsets.write(0, begin, 0, experts + 1);
    for (int p = 0; p < pairs; p++) {
      int at = begin[expertOf[p]]++;
      token[at] = p / k;
      slot[p] = at;
    }
    rows.write(0, token, 0, pairs);
    slots.write(0, slot, 0, pairs);
  }
}
