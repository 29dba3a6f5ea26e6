package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Balance;

/**
 * The gate of [S17] eq. 3-5: H = x·W_g + ξ·(softplus(x·W_noise) + floor), the k largest of H, and a
 * softmax over them; with the smooth load of app. A, whose gradient flows through x·W_g, through
 * the noise's deviation and through the threshold, itself an entry of H. With noise off in the
 * options, or in {@link #infer}, H = x·W_g. Without noise, and for k = n, load is the count of
 * tokens that chose an expert and has no gradient.
 */
public final class NoisyTopKGate {
  private final Cpu cpu;
  private final int experts;
  private final int k;
  private final int stream;
  private final boolean noise;
  private final GateProducts products;
  private final BalanceSums sums;
  private final NoisyRow[] rows;
  private final int[] chosen;
  private final float[] gates;
  private final float[] dGates;

  private final Workers.Task forwardTask = this::forwardBlock;
  private final Workers.Task cleanTask = this::cleanBlock;
  private final Workers.Task backwardTask = this::backwardBlock;

  // Of the running call.
  private Run run;
  private int valid;
  private Matrix x;
  private Matrix gateWeights;
  private Matrix noiseWeights;
  private Matrix clean;
  private Matrix raw;
  private Matrix noisy;
  private Matrix dClean;
  private Matrix dRaw;
  private Matrix dx;
  private float[] importanceSlope;

  /** Null where the load has no gradient that counts. */
  private float[] loadSlope;

  /**
   * An op of fixed shapes.
   *
   * @param context threads, products and options
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param experts number of experts, n
   * @param k experts a token
   * @param noiseFloor annotated least deviation of the noise
   * @param importanceLoss annotated weight of CV²(importance)
   * @param loadLoss annotated weight of CV²(load)
   * @param streamLayer number of the layer in noise streams
   */
  public NoisyTopKGate(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      double noiseFloor,
      double importanceLoss,
      double loadLoss,
      int streamLayer) {
    cpu = context.cpu();
    this.experts = experts;
    this.k = k;
    stream = Noise.stream(streamLayer, Noise.Purpose.GATE, 0);
    noise = context.options().noise(layer, true);
    products = new GateProducts(cpu, width, experts);
    sums =
        new BalanceSums(
            tokens,
            experts,
            context.options().importanceLoss(layer, importanceLoss),
            context.options().loadLoss(layer, loadLoss));
    float floor = (float) context.options().noiseFloor(layer, noiseFloor);
    rows = new NoisyRow[cpu.workers().threads()];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = new NoisyRow(experts, k, floor);
    }
    chosen = new int[Math.multiplyExact(tokens, k)];
    gates = new float[chosen.length];
    dGates = new float[chosen.length];
  }

  /**
   * Chooses and weighs.
   *
   * @param x the tokens, [T, d]
   * @param gateWeights [n, d]
   * @param noiseWeights [n, d]
   * @param clean written, [T, n]: x·W_g
   * @param raw written, [T, n]: x·W_noise; zero where noise is off
   * @param noisy written, [T, n]: H
   * @param chosen written, [T·k]: each token's experts, the largest H first
   * @param gates written, [T, k]: their weights
   * @param importance written, [1, n]: the sum of the weights
   * @param load written, [1, n]: the expected number of tokens, or their count
   */
  public void forward(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix noiseWeights,
      Matrix clean,
      Matrix raw,
      Matrix noisy,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load) {
    this.noiseWeights = noiseWeights;
    this.raw = raw;
    this.noisy = noisy;
    choose(run, x, gateWeights, clean, chosen, gates, importance, load, forwardTask);
  }

  /**
   * Chooses and weighs without noise.
   *
   * @param x the tokens, [T, d]
   * @param gateWeights [n, d]
   * @param clean written, [T, n]: x·W_g
   * @param chosen written, [T·k]: each token's experts, the largest logit first
   * @param gates written, [T, k]: their weights
   * @param importance written, [1, n]: the sum of the weights
   * @param load written, [1, n]: the tokens that chose each expert
   */
  public void infer(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix clean,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load) {
    choose(run, x, gateWeights, clean, chosen, gates, importance, load, cleanTask);
  }

  private void choose(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix clean,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load,
      Workers.Task task) {
    this.run = run;
    valid = run.valid();
    this.x = x;
    this.gateWeights = gateWeights;
    this.clean = clean;
    int blocks = GateProducts.blocks(valid);
    cpu.workers().parallel(blocks, task);
    chosen.write(0, this.chosen, 0, valid * k);
    gates.write(0, this.gates, 0, valid * k);
    sums.finish(blocks, importance, load);
  }

  /**
   * The gradients of the latest forward, the balancing losses included.
   *
   * @param x as in forward
   * @param gateWeights as in forward
   * @param noiseWeights as in forward
   * @param clean as forward left it
   * @param raw as forward left it
   * @param noisy as forward left it
   * @param chosen as forward left it
   * @param gates as forward left it
   * @param importance as forward left it
   * @param load as forward left it
   * @param dGates gradient of the weights, [T, k]
   * @param dClean scratch, [T, n]: the gradient of x·W_g
   * @param dRaw scratch, [T, n]: the gradient of x·W_noise
   * @param dx added to, [T, d]
   * @param dGateWeights written or added to as the run's beta says, [n, d]
   * @param dNoiseWeights likewise, [n, d]
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix noiseWeights,
      Matrix clean,
      Matrix raw,
      Matrix noisy,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load,
      Matrix dGates,
      Matrix dClean,
      Matrix dRaw,
      Matrix dx,
      Matrix dGateWeights,
      Matrix dNoiseWeights) {
    backward(
        run,
        x,
        gateWeights,
        noiseWeights,
        clean,
        raw,
        noisy,
        chosen,
        gates,
        sums.importanceSlope(importance),
        sums.loadSlope(load),
        dGates,
        dClean,
        dRaw,
        dx,
        dGateWeights,
        dNoiseWeights);
  }

  /**
   * Likewise for losses that are known by their slopes.
   *
   * @param importanceSlope the gradients of the experts' importance, [n]
   * @param loadSlope the gradients of the experts' load, [n]
   */
  void backward(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix noiseWeights,
      Matrix clean,
      Matrix raw,
      Matrix noisy,
      Ints chosen,
      Matrix gates,
      float[] importanceSlope,
      float[] loadSlope,
      Matrix dGates,
      Matrix dClean,
      Matrix dRaw,
      Matrix dx,
      Matrix dGateWeights,
      Matrix dNoiseWeights) {
    this.run = run;
    valid = run.valid();
    this.gateWeights = gateWeights;
    this.noiseWeights = noiseWeights;
    this.clean = clean;
    this.raw = raw;
    this.noisy = noisy;
    this.dClean = dClean;
    this.dRaw = dRaw;
    this.dx = dx;
    chosen.read(0, this.chosen, 0, valid * k);
    gates.read(0, this.gates, 0, valid * k);
    dGates.read(0, this.dGates, 0, valid * k);
    this.importanceSlope = importanceSlope;
    this.loadSlope = smooth() && sums.weighsLoad() ? loadSlope : null;
    cpu.workers().parallel(GateProducts.blocks(valid), backwardTask);
    if (noise) {
      products.weightGradients(run, x, dClean, dGateWeights, dRaw, dNoiseWeights);
    } else {
      products.weightGradients(run, x, dClean, dGateWeights, null, null);
      if (run.beta() == 0) {
        dNoiseWeights.zero(0, dNoiseWeights.size());
      }
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

  /** Whether the load of a training call is an expectation and not a count. */
  private boolean smooth() {
    return noise && k < experts;
  }

  private void forwardBlock(int block, int worker) {
    int from = block * GateProducts.BLOCK;
    int count = Math.min(GateProducts.BLOCK, valid - from);
    NoisyRow r = rows[worker];
    if (!noise) {
      cleanBlock(block, worker);
      for (int t = from; t < from + count; t++) {
        clean.read((long) t * experts, r.h, 0, experts);
        noisy.write((long) t * experts, r.h, 0, experts);
      }
      raw.zero((long) from * experts, (long) count * experts);
      return;
    }
    products.logits(x, gateWeights, clean, from, count);
    products.logits(x, noiseWeights, raw, from, count);
    sums.begin(block);
    for (int t = from; t < from + count; t++) {
      r.draw(run, t, stream, t, clean, raw, noisy);
      select(block, t, r.h);
      if (smooth()) {
        sums.addLoad(block, r.probabilities(chosen, t * k));
      } else {
        sums.addCount(block, k, chosen, t * k);
      }
    }
  }

  private void cleanBlock(int block, int worker) {
    int from = block * GateProducts.BLOCK;
    int count = Math.min(GateProducts.BLOCK, valid - from);
    float[] row = rows[worker].h;
    products.logits(x, gateWeights, clean, from, count);
    sums.begin(block);
    for (int t = from; t < from + count; t++) {
      clean.read((long) t * experts, row, 0, experts);
      select(block, t, row);
      sums.addCount(block, k, chosen, t * k);
    }
  }

  private void select(int block, int t, float[] row) {
    Selection.largest(row, experts, k, chosen, t * k);
    Selection.softmax(row, k, chosen, gates, t * k);
    sums.addImportance(block, k, chosen, gates, t * k);
  }

  private void backwardBlock(int block, int worker) {
    int from = block * GateProducts.BLOCK;
    int count = Math.min(GateProducts.BLOCK, valid - from);
    NoisyRow r = rows[worker];
    for (int t = from; t < from + count; t++) {
      for (int j = 0; j < k; j++) {
        r.choice[j] = dGates[t * k + j] + importanceSlope[chosen[t * k + j]];
      }
      Selection.softmaxSlope(k, gates, t * k, r.choice);
      if (noise) {
        r.backward(run, t, stream, t, clean, raw, noisy, chosen, t * k, loadSlope, 0);
        dRaw.write((long) t * experts, r.dRaw, 0, experts);
      } else {
        r.plainBackward(chosen, t * k);
      }
      dClean.write((long) t * experts, r.dClean, 0, experts);
    }
    products.addInputGradient(dClean, gateWeights, dx, from, count);
    if (noise) {
      products.addInputGradient(dRaw, noiseWeights, dx, from, count);
    }
  }
}
