package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * The lower level of a hierarchy ([S17] app. B): each group of experts has a gate of its own, as
 * {@link NoisyTopKGate} describes it, on the rows of the tokens that chose the group. Rows are
 * pairs of a token and a group, sorted by group, so that a token meets the logits of its groups
 * only. Noise is drawn for the token, in a stream of the group's.
 */
public final class SecondaryGate {
  private static final int BLOCK = GateProducts.BLOCK;

  /** Rows and columns of the weight gradients that make a task. */
  private static final int TILE = 128;

  private final Workers workers;
  private final Gemm gemm;
  private final int width;
  private final int groups;
  private final int primaryK;
  private final int size;
  private final int k;
  private final int stream;
  private final boolean noise;
  private final boolean weighsLoad;
  private final Combine combine;
  private final int[] offsets;
  private final int[] tokenOf;
  private final int[] chosen;
  private final float[] gates;
  private final float[] dGates;
  private final float[] loadSlope;
  private final float[] load;
  private final double[] sums;

  // Blocks of rows of one group each, in the order of the rows.
  private final int[] groupOf;
  private final int[] firstOf;
  private final double[][] loads;
  private int blocks;

  // A worker's.
  private final NoisyRow[] rows;
  private final float[][] lines;
  private final Matrix[] in;
  private final Matrix[] logits;

  private final Workers.Task forwardTask = this::forwardBlock;
  private final Workers.Task backwardTask = this::backwardBlock;
  private final Workers.Task weightTask = this::weightTile;

  // Of the running call.
  private Run run;
  private Matrix x;
  private Matrix gateWeights;
  private Matrix noiseWeights;
  private Matrix clean;
  private Matrix raw;
  private Matrix noisy;
  private Matrix dClean;
  private Matrix dRaw;
  private Matrix gathered;
  private Matrix dRows;
  private Matrix dGateWeights;
  private Matrix dNoiseWeights;

  /** Whether the running call draws noise. */
  private boolean draws;

  /**
   * An op of fixed shapes.
   *
   * @param context threads, products and options
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param experts number of experts of all groups, n
   * @param k experts a token, those in all of its groups together
   * @param groups number of groups, b; each has m = n/b experts
   * @param primaryK groups a token, so that there are P = T·primaryK rows
   * @param noiseFloor annotated least deviation of the noise
   * @param loadLoss annotated weight of CV²(load)
   * @param streamLayer number of the layer in noise streams
   */
  public SecondaryGate(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int experts,
      int k,
      int groups,
      int primaryK,
      double noiseFloor,
      double loadLoss,
      int streamLayer) {
    workers = context.cpu().workers();
    gemm = context.cpu().gemm();
    this.width = width;
    this.groups = groups;
    this.primaryK = primaryK;
    this.size = experts / groups;
    this.k = k / primaryK;
    // streams follow one another, that of the primary gate first
    stream = Noise.stream(streamLayer, Noise.Purpose.GATE, groups) - groups + 1;
    noise = context.options().noise(layer, true);
    weighsLoad = context.options().loadLoss(layer, loadLoss) != 0;
    combine = new Combine(context, layer, tokens, width, primaryK);
    offsets = new int[groups + 1];
    tokenOf = new int[Math.multiplyExact(tokens, primaryK)];
    chosen = new int[Math.multiplyExact(tokens, k)];
    gates = new float[chosen.length];
    dGates = new float[chosen.length];
    loadSlope = new float[experts];
    load = new float[experts];
    sums = new double[experts];
    int most = Math.min(groups, tokenOf.length) + tokenOf.length / BLOCK;
    groupOf = new int[most];
    firstOf = new int[most];
    loads = new double[most][size];
    int threads = workers.threads();
    float floor = (float) context.options().noiseFloor(layer, noiseFloor);
    rows = new NoisyRow[threads];
    lines = new float[threads][BLOCK * Math.max(width, size)];
    in = new Matrix[threads];
    logits = new Matrix[threads];
    for (int i = 0; i < threads; i++) {
      rows[i] = new NoisyRow(size, this.k, floor);
      in[i] = Scratch.matrix(BLOCK, width);
      logits[i] = Scratch.matrix(BLOCK, size);
    }
  }

  /**
   * Chooses and weighs the experts of every row.
   *
   * @param x the tokens, [T, d]
   * @param offsets rows of group i are {@code offsets[i]} to {@code offsets[i + 1]}, [b + 1]
   * @param rows the token of each row, [P]
   * @param gateWeights [n, d]
   * @param noiseWeights [n, d]
   * @param clean written, [P, m]: x·W_g of the row's group
   * @param raw written, [P, m]: x·W_noise; zero where noise is off
   * @param noisy written, [P, m]: H
   * @param chosen written, [P·k/primaryK]: each row's experts, numbered within the group, the
   *     largest H first
   * @param gates written, [P, k/primaryK]: their weights
   * @param load written, [1, n]: of a group's tokens, how many are expected at each expert, or are
   *     there
   */
  public void forward(
      Run run,
      Matrix x,
      Ints offsets,
      Ints rows,
      Matrix gateWeights,
      Matrix noiseWeights,
      Matrix clean,
      Matrix raw,
      Matrix noisy,
      Ints chosen,
      Matrix gates,
      Matrix load) {
    this.noiseWeights = noiseWeights;
    this.raw = raw;
    draws = noise;
    choose(run, x, offsets, rows, gateWeights, clean, noisy, chosen, gates, load);
  }

  /** Likewise without noise; the arguments are those of {@link #forward}. */
  public void infer(
      Run run,
      Matrix x,
      Ints offsets,
      Ints rows,
      Matrix gateWeights,
      Matrix clean,
      Ints chosen,
      Matrix gates,
      Matrix load) {
    draws = false;
    choose(run, x, offsets, rows, gateWeights, clean, null, chosen, gates, load);
  }

  private void choose(
      Run run,
      Matrix x,
      Ints offsets,
      Ints rows,
      Matrix gateWeights,
      Matrix clean,
      Matrix noisy,
      Ints chosen,
      Matrix gates,
      Matrix load) {
    this.x = x;
    this.gateWeights = gateWeights;
    this.clean = clean;
    this.noisy = noisy;
    int pairs = start(run, offsets, rows);
    workers.parallel(blocks, forwardTask);
    chosen.write(0, this.chosen, 0, pairs * k);
    gates.write(0, this.gates, 0, pairs * k);
    Arrays.fill(sums, 0);
    for (int b = 0; b < blocks; b++) {
      for (int i = 0; i < size; i++) {
        sums[groupOf[b] * size + i] += loads[b][i];
      }
    }
    for (int i = 0; i < sums.length; i++) {
      this.load[i] = (float) sums[i];
    }
    load.write(0, this.load, 0, sums.length);
  }

  /**
   * The gradients of the latest forward.
   *
   * @param x as in forward
   * @param offsets as in forward
   * @param rows as in forward
   * @param slots the row of each pair {@code token · primaryK + choice}, [P]
   * @param gateWeights as in forward
   * @param noiseWeights as in forward
   * @param clean as forward left it
   * @param raw as forward left it
   * @param noisy as forward left it
   * @param chosen as forward left it
   * @param gates as forward left it
   * @param dGates gradient of the weights, [P, k/primaryK]
   * @param dLoad gradient of the load, [1, n]
   * @param dClean scratch, [P, m]: the gradient of x·W_g
   * @param dRaw scratch, [P, m]: the gradient of x·W_noise
   * @param gathered scratch, [P, d]: each row's token
   * @param dRows scratch, [P, d]: the gradient of each row's token
   * @param dx added to, [T, d]
   * @param dGateWeights written or added to as the run's beta says, [n, d]
   * @param dNoiseWeights likewise, [n, d]
   */
  public void backward(
      Run run,
      Matrix x,
      Ints offsets,
      Ints rows,
      Ints slots,
      Matrix gateWeights,
      Matrix noiseWeights,
      Matrix clean,
      Matrix raw,
      Matrix noisy,
      Ints chosen,
      Matrix gates,
      Matrix dGates,
      Matrix dLoad,
      Matrix dClean,
      Matrix dRaw,
      Matrix gathered,
      Matrix dRows,
      Matrix dx,
      Matrix dGateWeights,
      Matrix dNoiseWeights) {
    this.x = x;
    this.gateWeights = gateWeights;
    this.noiseWeights = noiseWeights;
    this.clean = clean;
    this.raw = raw;
    this.noisy = noisy;
    this.dClean = dClean;
    this.dRaw = dRaw;
    this.gathered = gathered;
    this.dRows = dRows;
    this.dGateWeights = dGateWeights;
    this.dNoiseWeights = dNoiseWeights;
    draws = noise;
    int pairs = start(run, offsets, rows);
    chosen.read(0, this.chosen, 0, pairs * k);
    gates.read(0, this.gates, 0, pairs * k);
    dGates.read(0, this.dGates, 0, pairs * k);
    dLoad.read(0, loadSlope, 0, loadSlope.length);
    workers.parallel(blocks, backwardTask);
    combine.backward(run, dRows, slots, dx, true);
    workers.parallel(groups * tiles() * (noise ? 2 : 1), weightTask);
    if (!noise && run.beta() == 0) {
      dNoiseWeights.zero(0, dNoiseWeights.size());
    }
  }

  /** Reads which rows are whose, and cuts those of each group into blocks. */
  private int start(Run run, Ints offsets, Ints rows) {
    this.run = run;
    int pairs = run.valid() * primaryK;
    offsets.read(0, this.offsets, 0, groups + 1);
    rows.read(0, tokenOf, 0, pairs);
    blocks = 0;
    for (int i = 0; i < groups; i++) {
      for (int first = this.offsets[i]; first < this.offsets[i + 1]; first += BLOCK) {
        groupOf[blocks] = i;
        firstOf[blocks++] = first;
      }
    }
    return pairs;
  }

  private int rowsOf(int block) {
    return Math.min(BLOCK, offsets[groupOf[block] + 1] - firstOf[block]);
  }

  /** Whether the load of a training call is an expectation and not a count. */
  private boolean smooth() {
    return draws && k < size;
  }

  private void forwardBlock(int block, int worker) {
    int group = groupOf[block];
    int first = firstOf[block];
    int count = rowsOf(block);
    gather(first, count, in[worker], 0, lines[worker]);
    logits(gateWeights, clean, group, first, count, worker);
    if (draws) {
      logits(noiseWeights, raw, group, first, count, worker);
    } else if (noisy != null) {
      raw.zero((long) first * size, (long) count * size);
    }
    NoisyRow r = rows[worker];
    double[] sum = loads[block];
    Arrays.fill(sum, 0);
    for (int row = first; row < first + count; row++) {
      if (draws) {
        r.draw(run, tokenOf[row], stream + group, row, clean, raw, noisy);
      } else {
        clean.read((long) row * size, r.h, 0, size);
        if (noisy != null) {
          noisy.write((long) row * size, r.h, 0, size);
        }
      }
      Selection.largest(r.h, size, k, chosen, row * k);
      Selection.softmax(r.h, k, chosen, gates, row * k);
      if (smooth()) {
        float[] probabilities = r.probabilities(chosen, row * k);
        for (int i = 0; i < size; i++) {
          sum[i] += probabilities[i];
        }
      } else {
        for (int j = row * k; j < (row + 1) * k; j++) {
          sum[chosen[j]]++;
        }
      }
    }
  }

  /** Copies the tokens of rows {@code first} to {@code first + count} together. */
  private void gather(int first, int count, Matrix to, long at, float[] line) {
    for (int i = 0; i < count; i++) {
      x.read((long) tokenOf[first + i] * width, line, i * width, width);
    }
    to.write(at, line, 0, count * width);
  }

  /**
   * Logits of gathered rows of a group. Below them, up to a whole panel of {@link
   * Gemm#STABLE_ROWS}, are rows of older calls: so a row's bits do not depend on the others.
   */
  private void logits(Matrix weights, Matrix to, int group, int first, int count, int worker) {
    int panels = (count + Gemm.STABLE_ROWS - 1) / Gemm.STABLE_ROWS;
    gemm.multiply(
        false,
        true,
        panels * Gemm.STABLE_ROWS,
        size,
        width,
        1,
        in[worker],
        0,
        width,
        weights,
        (long) group * size * width,
        width,
        0,
        logits[worker],
        0,
        size);
    logits[worker].read(0, lines[worker], 0, count * size);
    to.write((long) first * size, lines[worker], 0, count * size);
  }

  private void backwardBlock(int block, int worker) {
    int group = groupOf[block];
    int first = firstOf[block];
    int count = rowsOf(block);
    NoisyRow r = rows[worker];
    float[] slope = smooth() && weighsLoad ? loadSlope : null;
    for (int row = first; row < first + count; row++) {
      System.arraycopy(dGates, row * k, r.choice, 0, k);
      Selection.softmaxSlope(k, gates, row * k, r.choice);
      if (noise) {
        r.backward(
            run,
            tokenOf[row],
            stream + group,
            row,
            clean,
            raw,
            noisy,
            chosen,
            row * k,
            slope,
            group * size);
        dRaw.write((long) row * size, r.dRaw, 0, size);
      } else {
        r.plainBackward(chosen, row * k);
      }
      dClean.write((long) row * size, r.dClean, 0, size);
    }
    inputGradient(dClean, gateWeights, group, first, count, 0);
    if (noise) {
      inputGradient(dRaw, noiseWeights, group, first, count, 1);
    }
    gather(first, count, gathered, (long) first * width, lines[worker]);
  }

  private void inputGradient(
      Matrix gradient, Matrix weights, int group, int first, int count, float beta) {
    gemm.multiply(
        false,
        false,
        count,
        width,
        size,
        1,
        gradient,
        (long) first * size,
        size,
        weights,
        (long) group * size * width,
        width,
        beta,
        dRows,
        (long) first * width,
        width);
  }

  /** Tiles of the weight gradients of a group. */
  private int tiles() {
    return ((size + TILE - 1) / TILE) * ((width + TILE - 1) / TILE);
  }

  private void weightTile(int task, int worker) {
    int group = task / tiles() % groups;
    boolean ofGate = task / tiles() < groups;
    int tile = task % tiles();
    int across = (width + TILE - 1) / TILE;
    int row = tile / across * TILE;
    int column = tile % across * TILE;
    int first = offsets[group];
    int count = offsets[group + 1] - first;
    Matrix to = ofGate ? dGateWeights : dNoiseWeights;
    if (count == 0) {
      if (tile == 0 && run.beta() == 0) {
        to.zero((long) group * size * width, (long) size * width);
      }
      return;
    }
    gemm.multiply(
        true,
        false,
        Math.min(TILE, size - row),
        Math.min(TILE, width - column),
        count,
        1,
        ofGate ? dClean : dRaw,
        (long) first * size + row,
        size,
        gathered,
        (long) first * width + column,
        width,
        run.beta(),
        to,
        ((long) group * size + row) * width + column,
        width);
  }
}
