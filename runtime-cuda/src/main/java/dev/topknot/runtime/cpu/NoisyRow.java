package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * The row of a noisy gate that a worker is at: H, the distances of its entries from their
 * thresholds, and the gradients that flow back through both ([S17] eq. 4 and app. A).
 */
final class NoisyRow {
  /** A noise floor of 0 lets softplus underflow; nothing is to be divided by 0 then. */
  private static final float LEAST_DEVIATION = 1e-20f;

  /** Distances in deviations beyond which the normal distribution is flat in float. */
  private static final float FAR = 100;

  private final int experts;
  private final int k;
  private final float noiseFloor;
  private final float[] clean;
  private final float[] raw;
  private final float[] sigma;
  private final float[] z;
  private final float[] xi;
  private final float[] density;

  /** H, or the logits without noise, [n]. */
  final float[] h;

  /** The gradient of x·W_g, [n]. */
  final float[] dClean;

  /** The gradient of x·W_noise, [n]. */
  final float[] dRaw;

  /** The gradients of the chosen entries of H, [k]. */
  final float[] choice;

  NoisyRow(int experts, int k, float noiseFloor) {
    this.experts = experts;
    this.k = k;
    this.noiseFloor = noiseFloor;
    clean = new float[experts];
    raw = new float[experts];
    sigma = new float[experts];
    z = new float[experts];
    xi = new float[experts];
    density = new float[experts];
    h = new float[experts];
    dClean = new float[experts];
    dRaw = new float[experts];
    choice = new float[k];
  }

  /**
   * Makes H of a row.
   *
   * @param token of the call, whose noise is drawn
   * @param stream of the gate
   * @param row number of the row in the matrices
   * @param noisy written: H
   */
  void draw(Run run, int token, int stream, long row, Matrix clean, Matrix raw, Matrix noisy) {
    read(row, clean, raw);
    Noise.normals(run.seed(), run.step(), run.firstToken() + token, stream, h, 0, experts);
    for (int i = 0; i < experts; i++) {
      h[i] = this.clean[i] + h[i] * sigma[i];
    }
    noisy.write(row * experts, h, 0, experts);
  }

  private void read(long row, Matrix clean, Matrix raw) {
    clean.read(row * experts, this.clean, 0, experts);
    raw.read(row * experts, this.raw, 0, experts);
    VectorMath.softplus(this.raw, 0, sigma, 0, experts);
    for (int i = 0; i < experts; i++) {
      sigma[i] = Math.max(sigma[i] + noiseFloor, LEAST_DEVIATION);
    }
  }

  /** The probability of each expert to be chosen if its noise were drawn again, [n]. */
  float[] probabilities(int[] chosen, int at) {
    distances(chosen, at, Selection.next(h, experts, k, chosen, at));
    VectorMath.normalCdf(z, 0, z, 0, experts);
    return z;
  }

  /** z = (clean − kth_excluding(H, k, i)) / σ. */
  private void distances(int[] chosen, int at, int next) {
    float last = h[chosen[at + k - 1]];
    for (int i = 0; i < experts; i++) {
      z[i] = distance(i, last);
    }
    for (int j = at; j < at + k; j++) {
      int i = chosen[j];
      z[i] = distance(i, h[next]);
    }
  }

  private float distance(int i, float threshold) {
    return Math.max(-FAR, Math.min(FAR, (clean[i] - threshold) / sigma[i]));
  }

  /**
   * The gradients of a row's x·W_g and x·W_noise; {@link #choice} holds those of the k of H.
   *
   * @param loadSlope the gradients of the experts' loads from {@code loadAt} on; null where no load
   *     has one
   */
  void backward(
      Run run,
      int token,
      int stream,
      long row,
      Matrix clean,
      Matrix raw,
      Matrix noisy,
      int[] chosen,
      int at,
      float[] loadSlope,
      int loadAt) {
    read(row, clean, raw);
    noisy.read(row * experts, h, 0, experts);
    Arrays.fill(dClean, 0);
    Arrays.fill(dRaw, 0);
    if (loadSlope != null) {
      int next = Selection.next(h, experts, k, chosen, at);
      distances(chosen, at, next);
      VectorMath.normalDensity(z, 0, density, 0, experts);
      double all = 0;
      for (int i = 0; i < experts; i++) {
        float d = loadSlope[loadAt + i] * density[i] / sigma[i];
        dClean[i] = d;
        dRaw[i] = -d * z[i];
        all += d;
      }
      double ofChosen = 0;
      for (int j = at; j < at + k; j++) {
        ofChosen += dClean[chosen[j]];
      }
      // the threshold of the chosen is the next in line, that of the others the last chosen
      addNoisy(run, token, stream, next, (float) -ofChosen);
      choice[k - 1] -= (float) (all - ofChosen);
    }
    for (int j = 0; j < k; j++) {
      addNoisy(run, token, stream, chosen[at + j], choice[j]);
    }
    VectorMath.sigmoid(this.raw, 0, this.raw, 0, experts);
    for (int i = 0; i < experts; i++) {
      dRaw[i] *= this.raw[i];
    }
  }

  /** Likewise without noise, where H is x·W_g. */
  void plainBackward(int[] chosen, int at) {
    Arrays.fill(dClean, 0);
    for (int j = 0; j < k; j++) {
      dClean[chosen[at + j]] = choice[j];
    }
  }

  /** Adds a gradient of one entry of H = clean + ξσ; draws its ξ again. */
  private void addNoisy(Run run, int token, int stream, int i, float d) {
    Noise.normalsAt(run.seed(), run.step(), run.firstToken() + token, stream, i, xi, experts);
    dClean[i] += d;
    dRaw[i] += d * xi[i];
  }
}
