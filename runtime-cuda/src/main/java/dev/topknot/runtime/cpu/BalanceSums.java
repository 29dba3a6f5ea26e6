package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Balance;
import java.util.Arrays;

/**
 * Importance and load of each expert over the tokens of a call ([S17] section 4 and app. A), their
 * losses, and the slopes of the losses. Sums are kept in double, block by block of tokens, and
 * added in the order of the blocks.
 */
final class BalanceSums {
  private final int experts;
  private final double importanceWeight;
  private final double loadWeight;
  private final double[][] importance;
  private final double[][] load;
  private final double[] sums;
  private final float[] floats;
  private final float[] importanceSlope;
  private final float[] loadSlope;

  BalanceSums(int tokens, int experts, double importanceWeight, double loadWeight) {
    this.experts = experts;
    this.importanceWeight = importanceWeight;
    this.loadWeight = loadWeight;
    importance = new double[GateProducts.blocks(tokens)][experts];
    load = new double[GateProducts.blocks(tokens)][experts];
    sums = new double[experts];
    floats = new float[experts];
    importanceSlope = new float[experts];
    loadSlope = new float[experts];
  }

  /** Empties the sums of a block. */
  void begin(int block) {
    Arrays.fill(importance[block], 0);
    Arrays.fill(load[block], 0);
  }

  /** Adds a token's gate values to the importance of its experts. */
  void addImportance(int block, int k, int[] chosen, float[] gates, int at) {
    for (int j = at; j < at + k; j++) {
      importance[block][chosen[j]] += gates[j];
    }
  }

  /** Counts a token in the load of its experts. */
  void addCount(int block, int k, int[] chosen, int at) {
    for (int j = at; j < at + k; j++) {
      load[block][chosen[j]]++;
    }
  }

  /** Adds a token's gate value at each expert, and counts it where the expert was chosen. */
  void add(int block, int[] chosen, float[] gates) {
    for (int i = 0; i < experts; i++) {
      importance[block][i] += gates[i];
      load[block][i] += chosen[i];
    }
  }

  /** Adds a token's probability of being sent to each expert. */
  void addLoad(int block, float[] probabilities) {
    double[] sum = load[block];
    for (int i = 0; i < experts; i++) {
      sum[i] += probabilities[i];
    }
  }

  /** Writes the sums over so many blocks, [1, n] each. */
  void finish(int blocks, Matrix importance, Matrix load) {
    finish(blocks, this.importance, importance);
    finish(blocks, this.load, load);
  }

  private void finish(int blocks, double[][] parts, Matrix to) {
    Arrays.fill(sums, 0);
    for (int b = 0; b < blocks; b++) {
      for (int i = 0; i < experts; i++) {
        sums[i] += parts[b][i];
      }
    }
    for (int i = 0; i < experts; i++) {
      floats[i] = (float) sums[i];
    }
    to.write(0, floats, 0, experts);
  }

  /** The gradient of the importance loss with respect to the importance of each expert. */
  float[] importanceSlope(Matrix importance) {
    CvSquared.slope(read(importance, sums), importanceWeight, importanceSlope);
    return importanceSlope;
  }

  /** The gradient of the load loss with respect to the load of each expert. */
  float[] loadSlope(Matrix load) {
    CvSquared.slope(read(load, sums), loadWeight, loadSlope);
    return loadSlope;
  }

  /** Whether the load is in the loss at all. */
  boolean weighsLoad() {
    return loadWeight != 0;
  }

  /** What a user reads after a call. */
  Balance balance(String layer, Matrix importance, Matrix load, Ints offsets) {
    double[] importances = read(importance, new double[experts]);
    double[] loads = read(load, new double[experts]);
    long[] tokens = new long[experts];
    for (int i = 0; i < experts; i++) {
      tokens[i] = (long) offsets.get(i + 1L) - offsets.get(i);
    }
    return new Balance(
        layer,
        importances,
        loads,
        tokens,
        importanceWeight * CvSquared.of(importances),
        loadWeight * CvSquared.of(loads));
  }

  private double[] read(Matrix from, double[] to) {
    from.read(0, floats, 0, experts);
    for (int i = 0; i < experts; i++) {
      to[i] = floats[i];
    }
    return to;
  }
}
