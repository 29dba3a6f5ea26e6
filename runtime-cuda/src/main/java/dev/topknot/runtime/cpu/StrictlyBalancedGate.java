package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Balance;
import java.util.Arrays;

/**
 * Strictly balanced gating ([S17] app. F): in training each expert keeps the tokens that it likes
 * best, equally many, elsewhere a token visits the experts whose thresholds its softmax value
 * exceeds. The gate values are the softmax over the experts that take the token.
 *
 * <p>What is kept is log G_σ: it has the order of G_σ, does not underflow where that does, and the
 * softmax over any of the experts is made from it. A token has a place for each expert.
 */
public final class StrictlyBalancedGate {
  /** Experts of a task that chooses: their keys are read side by side. */
  private static final int GROUP = 16;

  /** Bits of a key that a pass looks at. */
  private static final int DIGIT = 8;

  private static final int DIGITS = 1 << DIGIT;

  private final Cpu cpu;
  private final int experts;
  private final int k;
  private final float thresholdLoss;
  private final GateProducts products;
  private final BalanceSums sums;

  /** The least key of a kept token, for each expert. */
  private final long[] limits;

  private final float[] limit;
  private final int[][] above;
  private final int[] dropped;
  private final float[] line;
  private final float[][] rows;
  private final float[][] gateRows;
  private final float[][] dRows;
  private final int[][] chosenRows;
  private final int[][] counts;

  private final Workers.Task softmaxTask = this::softmaxBlock;
  private final Workers.Task limitTask = this::limitGroup;
  private final Workers.Task chooseTask = this::chooseBlock;
  private final Workers.Task backwardTask = this::backwardBlock;

  // Of the running call.
  private boolean training;
  private int valid;
  private Matrix x;
  private Matrix weights;
  private Matrix logits;
  private Ints chosen;
  private Matrix gates;
  private Matrix dGates;
  private Matrix dLogits;
  private Matrix dx;

  /**
   * An op of fixed shapes.
   *
   * @param context threads and products
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param experts number of experts, n
   * @param k experts a token on average: in training an expert keeps k·V/n of V tokens
   * @param thresholdLoss weight of L_batchwise
   */
  public StrictlyBalancedGate(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      double thresholdLoss) {
    cpu = context.cpu();
    this.experts = experts;
    this.k = k;
    this.thresholdLoss = (float) thresholdLoss;
    products = new GateProducts(cpu, width, experts);
    sums = new BalanceSums(tokens, experts, 0, 0);
    int threads = cpu.workers().threads();
    limits = new long[experts];
    limit = new float[experts];
    above = new int[GateProducts.blocks(tokens)][experts];
    dropped = new int[GateProducts.blocks(tokens)];
    line = new float[experts];
    rows = new float[threads][experts];
    gateRows = new float[threads][experts];
    dRows = new float[threads][experts];
    chosenRows = new int[threads][experts];
    counts = new int[threads][GROUP * DIGITS];
  }

  /**
   * Chooses the best tokens of each expert, and weighs.
   *
   * @param x the tokens, [T, d]
   * @param gateWeights [n, d]
   * @param thresholds [1, n]
   * @param logits written, [T, n]: log G_σ
   * @param chosen written, [T·n]: 1 where the expert takes the token, else 0
   * @param gates written, [T, n]: the softmax over the chosen, else 0
   * @param importance written, [1, n]: the sum of the gates
   * @param load written, [1, n]: how many tokens each expert takes
   * @param above written, [1, n]: how many tokens exceed each threshold
   * @param dropped written, [1]: how many tokens no expert takes
   */
  public void forward(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix thresholds,
      Matrix logits,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load,
      Matrix above,
      Ints dropped) {
    training = true;
    start(run, x, gateWeights, thresholds, logits, chosen, gates);
    cpu.workers().parallel((experts + GROUP - 1) / GROUP, limitTask);
    choose(importance, load, above, dropped);
  }

  /** Likewise, but chooses the experts whose thresholds a token exceeds. */
  public void infer(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix thresholds,
      Matrix logits,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load,
      Matrix above,
      Ints dropped) {
    training = false;
    start(run, x, gateWeights, thresholds, logits, chosen, gates);
    choose(importance, load, above, dropped);
  }

  private void start(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix thresholds,
      Matrix logits,
      Ints chosen,
      Matrix gates) {
    valid = run.valid();
    this.x = x;
    weights = gateWeights;
    this.logits = logits;
    this.chosen = chosen;
    this.gates = gates;
    thresholds.read(0, limit, 0, experts);
    cpu.workers().parallel(GateProducts.blocks(valid), softmaxTask);
  }

  private void choose(Matrix importance, Matrix load, Matrix above, Ints dropped) {
    int blocks = GateProducts.blocks(valid);
    cpu.workers().parallel(blocks, chooseTask);
    sums.finish(blocks, importance, load);
    Arrays.fill(line, 0);
    int all = 0;
    for (int b = 0; b < blocks; b++) {
      for (int i = 0; i < experts; i++) {
        line[i] += this.above[b][i];
      }
      all += this.dropped[b];
    }
    above.write(0, line, 0, experts);
    dropped.set(0, all);
  }

  /**
   * The gradients of the latest forward, L_batchwise included.
   *
   * @param x as in forward
   * @param gateWeights as in forward
   * @param thresholds as in forward
   * @param logits as forward left it
   * @param chosen as forward left it
   * @param gates as forward left it
   * @param load as forward left it
   * @param above as forward left it
   * @param dGates gradient of the gates, [T, n], read where chosen
   * @param dLogits scratch, [T, n]: the gradient of x·W_g
   * @param dx added to, [T, d]
   * @param dGateWeights written or added to as the run's beta says, [n, d]
   * @param dThresholds likewise, [1, n]: weight · (load − above)
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix thresholds,
      Matrix logits,
      Ints chosen,
      Matrix gates,
      Matrix load,
      Matrix above,
      Matrix dGates,
      Matrix dLogits,
      Matrix dx,
      Matrix dGateWeights,
      Matrix dThresholds) {
    valid = run.valid();
    weights = gateWeights;
    this.logits = logits;
    this.chosen = chosen;
    this.gates = gates;
    this.dGates = dGates;
    this.dLogits = dLogits;
    this.dx = dx;
    thresholds.read(0, limit, 0, experts);
    cpu.workers().parallel(GateProducts.blocks(valid), backwardTask);
    products.weightGradients(run, x, dLogits, dGateWeights, null, null);
    for (int i = 0; i < experts; i++) {
      float own = thresholdLoss * (load.get(0, i) - above.get(0, i));
      dThresholds.set(0, i, run.beta() == 0 ? own : dThresholds.get(0, i) + own);
    }
  }

  /**
   * What a user reads after a call.
   *
   * @param importance as forward left it
   * @param load as forward left it
   * @param offsets as {@link BalancedDispatch} left them
   * @param dropped as forward left it
   */
  public Balance balance(
      Run run, String layer, Matrix importance, Matrix load, Ints offsets, Ints dropped) {
    return sums.balance(layer, importance, load, offsets).withDropped(dropped.get(0));
  }

  /** From x to log G_σ. */
  private void softmaxBlock(int block, int worker) {
    int from = block * GateProducts.BLOCK;
    int count = Math.min(GateProducts.BLOCK, valid - from);
    products.logits(x, weights, logits, from, count);
    float[] row = rows[worker];
    for (int t = from; t < from + count; t++) {
      logits.read((long) t * experts, row, 0, experts);
      double shift = logSum(row);
      for (int i = 0; i < experts; i++) {
        row[i] = (float) (row[i] - shift);
      }
      logits.write((long) t * experts, row, 0, experts);
    }
  }

  private static double logSum(float[] row) {
    double largest = row[0];
    for (float logit : row) {
      largest = Math.max(largest, logit);
    }
    double sum = 0;
    for (float logit : row) {
      sum += Math.exp(logit - largest);
    }
    return largest + Math.log(sum);
  }

  /**
   * The m-th largest key of each expert of a group: keys are distinct, so that m are not below it.
   * One digit after the other, from the highest: of the keys that have the digits found so far, the
   * next digits are counted.
   */
  private void limitGroup(int group, int worker) {
    int first = group * GROUP;
    int width = Math.min(GROUP, experts - first);
    int kept = (int) ((long) k * valid / experts);
    if (kept == 0) {
      Arrays.fill(limits, first, first + width, -1L); // above every key
      return;
    }
    Arrays.fill(limits, first, first + width, 0);
    int[] count = counts[worker];
    int[] wanted = chosenRows[worker];
    Arrays.fill(wanted, 0, width, kept);
    float[] row = rows[worker];
    for (int shift = Long.SIZE - DIGIT; shift >= 0; shift -= DIGIT) {
      long found = shift == Long.SIZE - DIGIT ? 0 : -1L << (shift + DIGIT);
      Arrays.fill(count, 0);
      for (int t = 0; t < valid; t++) {
        logits.read((long) t * experts + first, row, 0, width);
        for (int i = 0; i < width; i++) {
          long key = Selection.key(row[i], t);
          if ((key & found) == limits[first + i]) {
            count[i * DIGITS + ((int) (key >>> shift) & (DIGITS - 1))]++;
          }
        }
      }
      for (int i = 0; i < width; i++) {
        int digit = DIGITS - 1;
        for (; count[i * DIGITS + digit] < wanted[i]; digit--) {
          wanted[i] -= count[i * DIGITS + digit];
        }
        limits[first + i] |= (long) digit << shift;
      }
    }
  }

  private void chooseBlock(int block, int worker) {
    int from = block * GateProducts.BLOCK;
    int count = Math.min(GateProducts.BLOCK, valid - from);
    sums.begin(block);
    Arrays.fill(above[block], 0);
    dropped[block] = 0;
    float[] row = rows[worker];
    float[] gate = gateRows[worker];
    int[] own = chosenRows[worker];
    for (int t = from; t < from + count; t++) {
      logits.read((long) t * experts, row, 0, experts);
      for (int i = 0; i < experts; i++) {
        int exceeds = exceeds(row[i], limit[i]) ? 1 : 0;
        above[block][i] += exceeds;
        own[i] =
            training
                ? Long.compareUnsigned(Selection.key(row[i], t), limits[i]) >= 0 ? 1 : 0
                : exceeds;
      }
      dropped[block] += weigh(row, own, gate);
      sums.add(block, own, gate);
      chosen.write((long) t * experts, own, 0, experts);
      gates.write((long) t * experts, gate, 0, experts);
    }
  }

  /** G_σ &gt; T; so that a NaN shows in the output, it exceeds. */
  private static boolean exceeds(float logit, float threshold) {
    return !((float) Math.exp(logit) <= threshold);
  }

  /** The softmax over the chosen of a row; 1 if there are none, else 0. */
  private int weigh(float[] row, int[] own, float[] gate) {
    double largest = Double.NEGATIVE_INFINITY;
    int all = 0;
    for (int i = 0; i < experts; i++) {
      if (own[i] != 0) {
        largest = Math.max(largest, row[i]);
        all++;
      }
    }
    double sum = 0;
    for (int i = 0; i < experts; i++) {
      sum += own[i] != 0 ? Math.exp(row[i] - largest) : 0;
    }
    for (int i = 0; i < experts; i++) {
      gate[i] = own[i] != 0 ? (float) (Math.exp(row[i] - largest) / sum) : 0;
    }
    return all == 0 ? 1 : 0;
  }

  private void backwardBlock(int block, int worker) {
    int from = block * GateProducts.BLOCK;
    int count = Math.min(GateProducts.BLOCK, valid - from);
    float[] row = rows[worker];
    float[] gate = gateRows[worker];
    float[] d = dRows[worker];
    int[] own = chosenRows[worker];
    for (int t = from; t < from + count; t++) {
      logits.read((long) t * experts, row, 0, experts);
      chosen.read((long) t * experts, own, 0, experts);
      gates.read((long) t * experts, gate, 0, experts);
      dGates.read((long) t * experts, d, 0, experts);
      gateSlope(own, gate, d);
      addLossSlope(row, own, d);
      dLogits.write((long) t * experts, d, 0, experts);
    }
    products.addInputGradient(dLogits, weights, dx, from, count);
  }

  /** From dL/dG to G·(dL/dG − Σ G·dL/dG), as {@link Selection#softmaxSlope}. */
  private void gateSlope(int[] own, float[] gate, float[] d) {
    int first = 0;
    for (int i = 1; i < experts; i++) {
      first = gate[i] > gate[first] ? i : first;
    }
    float largest = d[first];
    float sum = 0;
    for (int i = 0; i < experts; i++) {
      d[i] = own[i] != 0 ? d[i] - largest : 0;
      sum += gate[i] * d[i];
    }
    for (int i = 0; i < experts; i++) {
      d[i] = gate[i] * (d[i] - sum);
    }
  }

  /** Adds that of L_batchwise: G_σ·(M − Σ G_σ·M), M = weight · (above − chosen). */
  private void addLossSlope(float[] row, int[] own, float[] d) {
    double sum = 0;
    for (int i = 0; i < experts; i++) {
      sum += Math.exp(row[i]) * difference(row[i], limit[i], own[i]);
    }
    for (int i = 0; i < experts; i++) {
      d[i] +=
          (float) (thresholdLoss * Math.exp(row[i]) * (difference(row[i], limit[i], own[i]) - sum));
    }
  }

  private static int difference(float logit, float threshold, int own) {
    return (exceeds(logit, threshold) ? 1 : 0) - own;
  }
}
