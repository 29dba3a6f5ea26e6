package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * The gradients of a gate's input and weights where only the chosen logits have one: k of a token's
 * n. Work is that of T·k rows of each, and of writing the gradient of the weights.
 */
final class ChosenGradients {
  /** Experts of a task. */
  private static final int EXPERTS = 16;

  private final Workers workers;
  private final int width;
  private final int experts;
  private final int k;
  private final int[] begin;
  private final int[] pairs;
  private final float[][] sums;
  private final float[][] rows;

  private final Workers.Task task = this::weightRows;

  // Of the running call.
  private float beta;
  private float[] gradients;
  private Matrix x;
  private Matrix dWeights;

  ChosenGradients(Cpu cpu, int tokens, int width, int experts, int k) {
    workers = cpu.workers();
    this.width = width;
    this.experts = experts;
    this.k = k;
    begin = new int[experts + 1];
    pairs = new int[Math.multiplyExact(tokens, k)];
    sums = workers.arrays(width);
    rows = workers.arrays(width);
  }

  /**
   * dx += Σ gradient · weight row over a token's choices, for some tokens.
   *
   * @param chosen the experts of each token, [T·k]
   * @param gradients of their logits, [T·k]
   */
  void addInput(
      int[] chosen, float[] gradients, Matrix weights, Matrix dx, int from, int count, int worker) {
    float[] sum = sums[worker];
    for (int t = from; t < from + count; t++) {
      dx.read((long) t * width, sum, 0, width);
      for (int pair = t * k; pair < (t + 1) * k; pair++) {
        add(weights, chosen[pair], gradients[pair], worker);
      }
      dx.write((long) t * width, sum, 0, width);
    }
  }

  /**
   * dWeights = Σ gradient · x over the tokens that chose an expert, in their order, + beta ·
   * dWeights. Not to be called from inside a task.
   */
  void weights(Run run, int[] chosen, float[] gradients, Matrix x, Matrix dWeights) {
    beta = run.beta();
    this.gradients = gradients;
    this.x = x;
    this.dWeights = dWeights;
    sort(chosen, run.valid() * k);
    workers.parallel((experts + EXPERTS - 1) / EXPERTS, task);
  }

  /** Lists the pairs of a token and a choice by expert: e's are from {@code begin[e]} on. */
  private void sort(int[] chosen, int count) {
    Arrays.fill(begin, 0);
    for (int pair = 0; pair < count; pair++) {
      begin[chosen[pair]]++;
    }
    for (int e = 0; e < experts; e++) {
      begin[e + 1] += begin[e];
    }
    for (int pair = count - 1; pair >= 0; pair--) {
      pairs[--begin[chosen[pair]]] = pair;
    }
  }

  private void weightRows(int task, int worker) {
    float[] sum = sums[worker];
    for (int e = task * EXPERTS; e < Math.min(experts, (task + 1) * EXPERTS); e++) {
      if (beta == 0) {
        Arrays.fill(sum, 0, width, 0);
      } else {
        dWeights.read((long) e * width, sum, 0, width);
        Perceptron.scale(sum, 0, width, beta);
      }
      for (int i = begin[e]; i < begin[e + 1]; i++) {
        add(x, pairs[i] / k, gradients[pairs[i]], worker);
      }
      dWeights.write((long) e * width, sum, 0, width);
    }
  }

  private void add(Matrix from, int row, float factor, int worker) {
    float[] values = rows[worker];
    from.read((long) row * width, values, 0, width);
    RowSums.addScaled(values, factor, width, sums[worker]);
  }
}
