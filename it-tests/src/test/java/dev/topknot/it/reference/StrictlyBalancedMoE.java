package dev.topknot.it.reference;

import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Strictly balanced gating, [S17] app. F: in training each expert keeps the m = k·T/n tokens with
 * the largest softmax gate, of fewer valid tokens k·V/n rounded down; in evaluation those above its
 * learned threshold.
 */
public final class StrictlyBalancedMoE {
  private final int k;
  private final Matrix gateWeights;
  private final double[] thresholds;
  private final double lossWeight;
  private final List<Expert> experts;

  /** A layer: k experts a token on average, W_g [width, experts], one threshold an expert. */
  public StrictlyBalancedMoE(
      int k, Matrix gateWeights, double[] thresholds, double lossWeight, List<Expert> experts) {
    this.k = k;
    this.gateWeights = gateWeights;
    this.thresholds = thresholds;
    this.lossWeight = lossWeight;
    this.experts = List.copyOf(experts);
  }

  /** Training: runs the layer under the batchwise mask. */
  public Forward train(Matrix x) {
    return train(x, x.rows());
  }

  /** Likewise, of the first rows of {@code x}; the others touch nothing, and their output is 0. */
  public Forward train(Matrix x, int valid) {
    return new Forward(x, valid, true);
  }

  /** Evaluation: runs the layer under the thresholds' mask. */
  public Forward evaluate(Matrix x) {
    return new Forward(x, x.rows(), false);
  }

  /** The layer's forward pass. Its own loss is part of what {@link #backward} differentiates. */
  public final class Forward implements Pass {
    private final int tokens;
    private final Matrix x;
    private final Matrix softmax;
    private final Matrix threshold;
    private final Matrix mask;
    private final double[] kept;
    private final Matrix gates;
    private final Mixture mixture;

    private Forward(Matrix all, int valid, boolean training) {
      tokens = all.rows();
      x = all.resized(valid);
      softmax = SoftmaxLoss.softmax(x.times(gateWeights));
      threshold = Matrix.zeros(x.rows(), experts.size());
      for (int t = 0; t < x.rows(); t++) {
        for (int i = 0; i < experts.size(); i++) {
          threshold.set(t, i, softmax.get(t, i) > thresholds[i] ? 1 : 0);
        }
      }
      mask = training ? batchwise() : threshold;
      gates = softmax.hadamard(mask);
      kept = new double[x.rows()];
      for (int t = 0; t < x.rows(); t++) {
        for (int i = 0; i < experts.size(); i++) {
          kept[t] += gates.get(t, i);
        }
        for (int i = 0; i < experts.size() && kept[t] > 0; i++) {
          gates.set(t, i, gates.get(t, i) / kept[t]);
        }
      }
      mixture = new Mixture(x, gates, experts);
    }

    /** Each expert's m largest of the softmax, ties to the lower token. */
    private Matrix batchwise() {
      Matrix result = Matrix.zeros(x.rows(), experts.size());
      for (int expert = 0; expert < experts.size(); expert++) {
        int i = expert;
        IntStream.range(0, x.rows())
            .boxed()
            .sorted(
                Comparator.comparingDouble((Integer t) -> -softmax.get(t, i))
                    .thenComparing(Comparator.naturalOrder()))
            .limit(k * x.rows() / experts.size())
            .forEach(t -> result.set(t, i, 1));
      }
      return result;
    }

    @Override
    public Matrix y() {
      return mixture.y().resized(tokens);
    }

    /** 1 where the expert takes the token, [valid tokens, experts]. */
    public Matrix mask() {
      return mask;
    }

    /** G, [tokens, experts]. */
    public Matrix gates() {
      return gates;
    }

    /** The mask of evaluation, 1 where the softmax exceeds the expert's threshold. */
    public Matrix thresholdMask() {
      return threshold;
    }

    /** Σ_j Σ_i (M_threshold − M_batchwise)(softmax − T_i), weighted; 0 in evaluation. */
    public double batchLoss() {
      Matrix above = softmax.plusRow(Matrix.row(thresholds).scaled(-1));
      return lossWeight * maskDifference().dot(above);
    }

    private Matrix maskDifference() {
      return threshold.plus(mask.scaled(-1));
    }

    @Override
    public Gradients backward(Matrix dyOfAll) {
      Matrix dy = dyOfAll.resized(x.rows());
      Gradients fromExperts = mixture.backward(dy);
      Matrix dGates = mixture.gateGradient(dy);
      Matrix dSoftmax = maskDifference().scaled(lossWeight);
      Matrix dLogits = Matrix.zeros(x.rows(), experts.size());
      for (int t = 0; t < x.rows(); t++) {
        double mean = gates.rows(t, t + 1).dot(dGates.rows(t, t + 1));
        for (int i = 0; i < experts.size() && kept[t] > 0; i++) {
          dSoftmax.add(t, i, mask.get(t, i) * (dGates.get(t, i) - mean) / kept[t]);
        }
        mean = softmax.rows(t, t + 1).dot(dSoftmax.rows(t, t + 1));
        for (int i = 0; i < experts.size(); i++) {
          dLogits.set(t, i, softmax.get(t, i) * (dSoftmax.get(t, i) - mean));
        }
      }
      Map<String, Matrix> byName = new LinkedHashMap<>(fromExperts.byName());
      byName.put("gateWeights", x.transposedTimes(dLogits));
      byName.put("thresholds", maskDifference().columnSums().scaled(-lossWeight));
      return new Gradients(
          fromExperts.x().plus(dLogits.timesTransposed(gateWeights)).resized(tokens), byName);
    }
  }
}
