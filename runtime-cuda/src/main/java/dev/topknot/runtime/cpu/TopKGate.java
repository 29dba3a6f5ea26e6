package dev.topknot.runtime.cpu;

import dev.topknot.dsl.Gating;
import dev.topknot.runtime.Balance;
import java.util.Arrays;

/**
 * A gate without noise: the k largest of x·W_g, weighed by a softmax over them. With {@link
 * Gating#SOFTMAX_TOP_K} the softmax is taken over all experts and renormalised over the chosen,
 * which is the same; only for k = 1 the value stays the probability itself. Load is the count of
 * tokens and has no gradient. {@link Gating#SOFTMAX} is the case k = n.
 */
public final class TopKGate {
  private final Cpu cpu;
  private final int experts;
  private final int k;
  private final GateProducts products;
  private final BalanceSums sums;

  /** Null where the gradient of the logits is a matrix of all of them. */
  private final ChosenGradients ofChosen;

  /** Whether the gate value is a probability among all experts. */
  private final boolean amongAll;

  private final int[] chosen;
  private final float[] gates;
  private final float[] dGates;
  private final float[][] rows;
  private final float[][] choice;

  private final Workers.Task forwardTask = this::forwardBlock;
  private final Workers.Task backwardTask = this::backwardBlock;

  // Of the running call.
  private int valid;
  private Matrix x;
  private Matrix weights;
  private Matrix clean;
  private Matrix dClean;
  private Matrix dx;
  private float[] importanceSlope;

  /**
   * An op of fixed shapes.
   *
   * @param context threads, products and options
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param experts number of experts, n
   * @param k experts a token
   * @param gating TOP_K, SOFTMAX_TOP_K or SOFTMAX
   * @param importanceLoss annotated weight of CV²(importance)
   * @param loadLoss annotated weight of CV²(load), which has no gradient here
   * @param sparse whether the gradients of x and the weights are summed from the chosen logits',
   *     which alone have any; else by products with all of them, faster where there are few
   */
  public TopKGate(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      Gating gating,
      double importanceLoss,
      double loadLoss,
      boolean sparse) {
    if (gating == Gating.NOISY_TOP_K || gating == Gating.STRICTLY_BALANCED) {
      throw new IllegalArgumentException("a top-k gate without noise cannot be " + gating);
    }
    cpu = context.cpu();
    this.experts = experts;
    this.k = k;
    amongAll = gating == Gating.SOFTMAX_TOP_K && k == 1;
    if (amongAll && sparse) {
      throw new IllegalArgumentException("the largest of a softmax has a gradient for all logits");
    }
    products = new GateProducts(cpu, width, experts);
    sums =
        new BalanceSums(
            tokens,
            experts,
            context.options().importanceLoss(layer, importanceLoss),
            context.options().loadLoss(layer, loadLoss));
    chosen = new int[Math.multiplyExact(tokens, k)];
    gates = new float[chosen.length];
    dGates = new float[chosen.length];
    ofChosen = sparse ? new ChosenGradients(cpu, tokens, width, experts, k) : null;
    rows = cpu.workers().arrays(experts);
    choice = cpu.workers().arrays(k);
  }

  /**
   * Chooses and weighs.
   *
   * @param x the tokens, [T, d]
   * @param gateWeights [n, d]
   * @param clean written, [T, n]: the logits
   * @param chosen written, [T·k]: each token's experts, the largest logit first
   * @param gates written, [T, k]: their weights
   * @param importance written, [1, n]: the sum of the weights
   * @param load written, [1, n]: the tokens that chose each expert
   */
  public void forward(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix clean,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load) {
    valid = run.valid();
    this.x = x;
    weights = gateWeights;
    this.clean = clean;
    int blocks = GateProducts.blocks(valid);
    cpu.workers().parallel(blocks, forwardTask);
    chosen.write(0, this.chosen, 0, valid * k);
    gates.write(0, this.gates, 0, valid * k);
    sums.finish(blocks, importance, load);
  }

  /** The same as {@link #forward}: there is nothing to leave out. */
  public void infer(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix clean,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load) {
    forward(run, x, gateWeights, clean, chosen, gates, importance, load);
  }

  /**
   * The gradients of the latest forward, the importance loss included.
   *
   * @param x as in forward
   * @param gateWeights as in forward
   * @param clean as forward left it
   * @param chosen as forward left it
   * @param gates as forward left it
   * @param importance as forward left it
   * @param load as forward left it
   * @param dGates gradient of the weights, [T, k]
   * @param dClean scratch, [T, n]: the gradient of the logits; untouched where that is sparse
   * @param dx added to, [T, d]
   * @param dGateWeights written or added to as the run's beta says, [n, d]
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix clean,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load,
      Matrix dGates,
      Matrix dClean,
      Matrix dx,
      Matrix dGateWeights) {
    valid = run.valid();
    weights = gateWeights;
    this.clean = clean;
    this.dClean = dClean;
    this.dx = dx;
    chosen.read(0, this.chosen, 0, valid * k);
    gates.read(0, this.gates, 0, valid * k);
    dGates.read(0, this.dGates, 0, valid * k);
    importanceSlope = sums.importanceSlope(importance);
    cpu.workers().parallel(GateProducts.blocks(valid), backwardTask);
    if (ofChosen == null) {
      products.weightGradients(run, x, dClean, dGateWeights, null, null);
    } else {
      ofChosen.weights(run, this.chosen, this.dGates, x, dGateWeights);
    }
  }

  /**
   * What a user reads after a call.
   *
   * @param importance as forward left it
   * @param load as forward left it
   * @param offsets as {@link Dispatch} left them
   */
  public Balance balance(Run run, String layer, Matrix importance, Matrix load, Ints offsets) {
    return sums.balance(layer, importance, load, offsets);
  }

  private void forwardBlock(int block, int worker) {
    int from = block * GateProducts.BLOCK;
    int count = Math.min(GateProducts.BLOCK, valid - from);
    products.logits(x, weights, clean, from, count);
    sums.begin(block);
    float[] row = rows[worker];
    for (int t = from; t < from + count; t++) {
      clean.read((long) t * experts, row, 0, experts);
      Selection.largest(row, experts, k, chosen, t * k);
      if (amongAll) {
        gates[t] = (float) probability(row, chosen[t]);
      } else {
        Selection.softmax(row, k, chosen, gates, t * k);
      }
      sums.addImportance(block, k, chosen, gates, t * k);
      sums.addCount(block, k, chosen, t * k);
    }
  }

  /** The softmax over all experts at the largest. */
  private double probability(float[] row, int largest) {
    double sum = 0;
    for (int i = 0; i < experts; i++) {
      sum += Math.exp((double) row[i] - row[largest]);
    }
    return 1 / sum;
  }

  private void backwardBlock(int block, int worker) {
    int from = block * GateProducts.BLOCK;
    int count = Math.min(GateProducts.BLOCK, valid - from);
    float[] row = rows[worker];
    float[] d = choice[worker];
    for (int t = from; t < from + count; t++) {
      for (int j = 0; j < k; j++) {
        d[j] = dGates[t * k + j] + importanceSlope[chosen[t * k + j]];
      }
      if (amongAll) {
        clean.read((long) t * experts, row, 0, experts);
        amongAllSlope(row, chosen[t], d[0]);
      } else {
        Selection.softmaxSlope(k, gates, t * k, d);
        if (ofChosen != null) {
          System.arraycopy(d, 0, dGates, t * k, k);
          continue;
        }
        Arrays.fill(row, 0);
        for (int j = 0; j < k; j++) {
          row[chosen[t * k + j]] = d[j];
        }
      }
      dClean.write((long) t * experts, row, 0, experts);
    }
    if (ofChosen == null) {
      products.addInputGradient(dClean, weights, dx, from, count);
    } else {
      ofChosen.addInput(chosen, dGates, weights, dx, from, count, worker);
    }
  }

  /** From logits to dG·p_c·(δ_ic − p_i), in place. */
  private void amongAllSlope(float[] row, int largest, float dGate) {
    double top = row[largest];
    double p = probability(row, largest);
    for (int i = 0; i < experts; i++) {
      double own = Math.exp(row[i] - top) * p;
      row[i] = (float) (dGate * p * ((i == largest ? 1 : 0) - own));
    }
  }
}
