package dev.topknot.runtime.cpu;

import dev.topknot.runtime.EvaluationOverflowException;
import java.util.Arrays;

/**
 * Sorts the chosen places of tokens, which have one for each expert, by expert; within an expert
 * tokens ascend. What {@link Dispatch} is where every token has k experts.
 */
public final class BalancedDispatch {
  private final String layer;
  private final int tokens;
  private final int experts;
  private final int k;
  private final int[] begin;
  private final int[] token;
  private final int[] row;

  /**
   * An op of fixed shapes.
   *
   * @param context unused: sorting takes less time than waking threads
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param experts number of experts, n
   * @param k experts a token on average at most, so that there are P = T·k slots
   */
  public BalancedDispatch(CpuContext context, String layer, int tokens, int experts, int k) {
    this.layer = layer;
    this.tokens = tokens;
    this.experts = experts;
    this.k = k;
    begin = new int[experts + 1];
    token = new int[Math.multiplyExact(tokens, k)];
    row = new int[experts];
  }

  /**
   * Sorts.
   *
   * @param chosen whether an expert takes a token, 1 or 0, [T·n]
   * @param offsets written: slots of expert e are {@code offsets[e]} to {@code offsets[e + 1]}, [n
   *     + 1]
   * @param rows written for slots in use: their token, [P]
   * @param slots written for valid tokens: the slot of each place, −1 where it was not chosen,
   *     [T·n]
   * @throws EvaluationOverflowException if more than P were chosen
   */
  public void forward(Run run, Ints chosen, Ints offsets, Ints rows, Ints slots) {
    int valid = run.valid();
    Arrays.fill(begin, 0);
    long pairs = 0;
    for (int t = 0; t < valid; t++) {
      chosen.read((long) t * experts, row, 0, experts);
      for (int e = 0; e < experts; e++) {
        begin[e + 1] += row[e];
        pairs += row[e];
      }
    }
    if (pairs > token.length) {
      throw new EvaluationOverflowException(layer, pairs, tokens, k);
    }
    for (int e = 0; e < experts; e++) {
      begin[e + 1] += begin[e];
    }
    offsets.write(0, begin, 0, experts + 1);
    for (int t = 0; t < valid; t++) {
      chosen.read((long) t * experts, row, 0, experts);
      for (int e = 0; e < experts; e++) {
        if (row[e] == 0) {
          row[e] = -1;
        } else {
          int slot = begin[e]++;
          token[slot] = t;
          row[e] = slot;
        }
      }
      slots.write((long) t * experts, row, 0, experts);
    }
    rows.write(0, token, 0, (int) pairs);
  }
}
