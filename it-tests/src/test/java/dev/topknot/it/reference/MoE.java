package dev.topknot.it.reference;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The flat Mixture-of-Experts layer of [S17] with its two balancing losses. */
public final class MoE {
  private final Gating gating;
  private final double importanceWeight;
  private final double loadWeight;
  private final List<Expert> experts;
  private final Shared shared;

  /** A layer of a gate, the weights of its losses, and as many experts as the gate knows. */
  public MoE(Gating gating, double importanceWeight, double loadWeight, List<Expert> experts) {
    this(gating, importanceWeight, loadWeight, experts, List.of());
  }

  /** Likewise, with experts that every token visits besides. */
  public MoE(
      Gating gating,
      double importanceWeight,
      double loadWeight,
      List<Expert> experts,
      List<Expert> shared) {
    this.gating = gating;
    this.importanceWeight = importanceWeight;
    this.loadWeight = loadWeight;
    this.experts = List.copyOf(experts);
    this.shared = new Shared(List.copyOf(shared));
  }

  /** Runs all rows of {@code x} with the gate's own selection. */
  public Forward forward(Matrix x, Matrix noise) {
    return forward(x, x.rows(), noise, null);
  }

  /**
   * Runs the layer.
   *
   * @param x [tokens, width]
   * @param valid how many rows count; the others touch nothing, and their output is zero
   * @param noise ξ, [at least valid, experts], or null in evaluation
   * @param chosen a device's selection for at least the valid tokens, or null for the gate's own
   */
  public Forward forward(Matrix x, int valid, Matrix noise, int[][] chosen) {
    return new Forward(x, valid, noise, chosen);
  }

  /** The layer's forward pass. Its own losses are part of what {@link #backward} differentiates. */
  public final class Forward implements Pass {
    private final int tokens;
    private final int valid;
    private final Gating.Forward gate;
    private final Mixture mixture;
    private final Pass visited;
    private final double[] importance;
    private final double[] load;

    private Forward(Matrix x, int valid, Matrix noise, int[][] chosen) {
      this.tokens = x.rows();
      this.valid = valid;
      Matrix live = x.resized(valid);
      gate = gating.forward(live, noise == null ? null : noise.resized(valid), chosen);
      mixture = new Mixture(live, gate.gates(), experts);
      visited = shared.forward(live);
      importance = gate.importance();
      load = gate.load();
    }

    @Override
    public Matrix y() {
      return mixture.y().plus(visited.y()).resized(tokens);
    }

    /** The gate's part: gate values, selection, gaps; of the valid tokens. */
    public Gating.Forward gate() {
      return gate;
    }

    /** The importance of every expert. */
    public double[] importance() {
      return importance;
    }

    /** The load of every expert. */
    public double[] load() {
      return load;
    }

    /** w_importance · CV²(importance). */
    public double importanceLoss() {
      return importanceWeight * Balance.cvSquared(importance);
    }

    /** w_load · CV²(load). */
    public double loadLoss() {
      return loadWeight * Balance.cvSquared(load);
    }

    @Override
    public Gradients backward(Matrix dy) {
      Matrix live = dy.resized(valid);
      Gradients fromExperts = mixture.backward(live);
      Matrix dGates =
          mixture
              .gateGradient(live)
              .plusRow(Matrix.row(weightedGradient(importanceWeight, importance)));
      Gradients fromGate = gate.backward(dGates, weightedGradient(loadWeight, load));
      Map<String, Matrix> byName = new LinkedHashMap<>(fromGate.byName());
      byName.putAll(fromExperts.byName());
      Gradients fromShared = visited.backward(live);
      byName.putAll(fromShared.byName());
      Matrix dx = fromExperts.x().plus(fromGate.x()).plus(fromShared.x());
      return new Gradients(dx.resized(tokens), byName);
    }
  }

  private static double[] weightedGradient(double weight, double[] v) {
    return Arrays.stream(Balance.cvSquaredGradient(v)).map(d -> weight * d).toArray();
  }
}
