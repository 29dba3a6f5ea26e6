package dev.topknot.it.reference;

import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * One gate over n experts: which k of them a token goes to, with what weight, and the smooth
 * estimate of each expert's load.
 */
public final class Gating {
  /** How the gate values come about. */
  public enum Kind {
    /** Softmax over the k largest of clean + ξ·σ ([S17] eq. 3-5). */
    NOISY_TOP_K,
    /** Softmax over the k largest of x W_g. */
    TOP_K,
    /** The k largest of the softmax over all experts; renormalised over the kept for k > 1. */
    SOFTMAX_TOP_K,
    /** The softmax over all experts ([S17] eq. 2); k is their number. */
    SOFTMAX
  }

  private final Kind kind;
  private final int k;
  private final double noiseFloor;
  private final Matrix gateWeights;
  private final Matrix noiseWeights;

  /**
   * A gate.
   *
   * @param kind how the gate values come about
   * @param k experts a token
   * @param noiseFloor what is added to the softplus of the noise's logits
   * @param gateWeights W_g, [width, experts]
   * @param noiseWeights W_noise, [width, experts]; null where the kind draws no noise
   */
  public Gating(Kind kind, int k, double noiseFloor, Matrix gateWeights, Matrix noiseWeights) {
    if (k < 1 || k > gateWeights.columns()) {
      throw new IllegalArgumentException(
          "expected k within 1.." + gateWeights.columns() + ", got " + k);
    }
    this.kind = kind;
    this.k = k;
    this.noiseFloor = noiseFloor;
    this.gateWeights = gateWeights;
    this.noiseWeights = noiseWeights;
  }

  /** The number of experts. */
  public int experts() {
    return gateWeights.columns();
  }

  /**
   * Chooses and weighs the experts of every row of {@code x}.
   *
   * @param x [tokens, width]
   * @param noise ξ [tokens, experts] in training; null in evaluation and for the kinds without
   * @param chosen the selection to use instead of the gate's own (a device's), the k experts of
   *     each token in any order; null for the gate's own
   */
  public Forward forward(Matrix x, Matrix noise, int[][] chosen) {
    return new Forward(x, kind == Kind.NOISY_TOP_K ? noise : null, chosen);
  }

  /** A gate's forward pass. */
  public final class Forward {
    private final Matrix x;
    private final Matrix noise;
    private final Matrix clean;
    private final Matrix rawDeviation;
    private final Matrix deviation;
    private final Matrix noisy;
    private final int[][] own;
    private final int[][] chosen;
    // Per token the largest of H that was not chosen, the (k+1)-th; -1 where k = experts.
    private final int[] next;
    // The softmax over the kept or, for SOFTMAX_TOP_K with k = 1, over all experts.
    private final Matrix softmax;
    private final Matrix gates;
    private final double[] load;

    private Forward(Matrix x, Matrix noise, int[][] forced) {
      this.x = x;
      this.noise = noise;
      clean = x.times(gateWeights);
      if (noise == null) {
        rawDeviation = null;
        deviation = null;
        noisy = clean;
      } else {
        rawDeviation = x.times(noiseWeights);
        deviation = rawDeviation.map(z -> softplus(z) + noiseFloor);
        noisy = clean.plus(noise.hadamard(deviation));
      }
      own = new int[x.rows()][];
      chosen = new int[x.rows()][];
      next = new int[x.rows()];
      softmax = Matrix.zeros(x.rows(), experts());
      gates = Matrix.zeros(x.rows(), experts());
      load = new double[experts()];
      for (int t = 0; t < x.rows(); t++) {
        own[t] = largestFirst(t, IntStream.range(0, experts()), k);
        chosen[t] = forced == null ? own[t] : largestFirst(t, Arrays.stream(forced[t]), k);
        next[t] = k == experts() ? -1 : largestFirst(t, notChosen(t), 1)[0];
        boolean renormalised = kind != Kind.SOFTMAX_TOP_K || k > 1;
        softmax(t, renormalised ? chosen[t] : IntStream.range(0, experts()).toArray());
        for (int i : chosen[t]) {
          gates.set(t, i, softmax.get(t, i));
        }
        addLoad(t);
      }
    }

    private int[] largestFirst(int t, IntStream candidates, int count) {
      int[] result =
          candidates
              .boxed()
              .sorted(
                  Comparator.comparingDouble((Integer i) -> -noisy.get(t, i))
                      .thenComparing(Comparator.naturalOrder()))
              .limit(count)
              .mapToInt(Integer::intValue)
              .toArray();
      if (result.length != count) {
        throw new IllegalArgumentException(
            "expected " + count + " experts for token " + t + ", got " + result.length);
      }
      return result;
    }

    private IntStream notChosen(int t) {
      return IntStream.range(0, experts()).filter(i -> !contains(chosen[t], i));
    }

    private void softmax(int t, int[] support) {
      double max = Arrays.stream(support).mapToDouble(i -> noisy.get(t, i)).max().orElseThrow();
      double sum = Arrays.stream(support).mapToDouble(i -> Math.exp(noisy.get(t, i) - max)).sum();
      for (int i : support) {
        softmax.set(t, i, Math.exp(noisy.get(t, i) - max) / sum);
      }
    }

    private void addLoad(int t) {
      if (smoothLoad()) {
        for (int i = 0; i < experts(); i++) {
          load[i] += Normal.cumulative(distance(t, i));
        }
      } else {
        for (int i : chosen[t]) {
          load[i]++;
        }
      }
    }

    /** (clean_i − kth_excluding(H, k, i)) / σ_i. */
    private double distance(int t, int i) {
      return (clean.get(t, i) - noisy.get(t, threshold(t, i))) / deviation.get(t, i);
    }

    /**
     * Whose entry of H is kth_excluding(H, k, i): the best not chosen where i is chosen, else the
     * last chosen.
     */
    private int threshold(int t, int i) {
      return contains(chosen[t], i) ? next[t] : chosen[t][k - 1];
    }

    /** G, [tokens, experts], zero but for the chosen. */
    public Matrix gates() {
      return gates;
    }

    /** The k experts of each token, the largest first, ties to the lower index. */
    public int[][] chosen() {
      return chosen;
    }

    /** H, [tokens, experts]: what the selection compares. */
    public Matrix noisy() {
      return noisy;
    }

    /** The sum of each expert's gate values over the tokens ([S17] eq. 6). */
    public double[] importance() {
      return gates.columnSums().data();
    }

    /**
     * Σ_x Φ((clean_i − kth_excluding(H, k, i)) / σ_i) ([S17] app. A) or, without noise or with k =
     * experts, how many tokens selected each expert.
     */
    public double[] load() {
      return load;
    }

    /** Whether the load is the smooth estimate, and so has a gradient. */
    public boolean smoothLoad() {
      return noise != null && k < experts();
    }

    /**
     * For each token whose selection by a device differs from the gate's own, the gap between the
     * two: the largest amount by which H of an expert it left out exceeds H of one it took,
     * relative to ‖H‖ of the token.
     *
     * @param device the device's selection, the k experts of each token in any order
     */
    public Map<Integer, Double> gaps(int[][] device) {
      Map<Integer, Double> result = new LinkedHashMap<>();
      for (int token = 0; token < x.rows(); token++) {
        int t = token;
        double taken =
            Arrays.stream(device[t]).mapToDouble(i -> noisy.get(t, i)).min().orElseThrow();
        Arrays.stream(own[t])
            .filter(i -> !contains(device[t], i))
            .mapToDouble(i -> noisy.get(t, i))
            .max()
            .ifPresent(left -> result.put(t, (left - taken) / noisy.rows(t, t + 1).norm()));
      }
      return result;
    }

    /**
     * The gradients of {@code x}, {@code gateWeights} and, with noise, {@code noiseWeights}; the
     * selection is a constant.
     *
     * @param dGates the gradient of the gate values, [tokens, experts]; read at the chosen only
     * @param dLoad the gradient of the load; ignored where the load is a count
     */
    public Gradients backward(Matrix dGates, double[] dLoad) {
      Matrix dClean = Matrix.zeros(x.rows(), experts());
      Matrix dNoisy = Matrix.zeros(x.rows(), experts());
      Matrix dDeviation = Matrix.zeros(x.rows(), experts());
      for (int t = 0; t < x.rows(); t++) {
        softmaxBackward(t, dGates, dNoisy);
        if (smoothLoad()) {
          loadBackward(t, dLoad, dClean, dNoisy, dDeviation);
        }
      }
      dClean = dClean.plus(dNoisy);
      Matrix dx = dClean.timesTransposed(gateWeights);
      Map<String, Matrix> byName = new LinkedHashMap<>();
      byName.put("gateWeights", x.transposedTimes(dClean));
      if (noise != null) {
        Matrix dRaw =
            dDeviation
                .plus(dNoisy.hadamard(noise))
                .hadamard(rawDeviation.map(Activation.SIGMOID::value));
        byName.put("noiseWeights", x.transposedTimes(dRaw));
        dx = dx.plus(dRaw.timesTransposed(noiseWeights));
      }
      return new Gradients(dx, byName);
    }

    /** dH_i = P_i (dP_i − Σ_j P_j dP_j), where dP is dG at the chosen and 0 elsewhere. */
    private void softmaxBackward(int t, Matrix dGates, Matrix dNoisy) {
      double mean = 0;
      for (int i : chosen[t]) {
        mean += gates.get(t, i) * dGates.get(t, i);
        dNoisy.set(t, i, gates.get(t, i) * dGates.get(t, i));
      }
      for (int i = 0; i < experts(); i++) {
        dNoisy.add(t, i, -softmax.get(t, i) * mean);
      }
    }

    private void loadBackward(
        int t, double[] dLoad, Matrix dClean, Matrix dNoisy, Matrix dDeviation) {
      for (int i = 0; i < experts(); i++) {
        double z = distance(t, i);
        double d = dLoad[i] * Normal.density(z) / deviation.get(t, i);
        dClean.add(t, i, d);
        dNoisy.add(t, threshold(t, i), -d);
        dDeviation.add(t, i, -d * z);
      }
    }
  }

  private static double softplus(double z) {
    return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
  }

  private static boolean contains(int[] values, int value) {
    return Arrays.stream(values).anyMatch(v -> v == value);
  }
}
