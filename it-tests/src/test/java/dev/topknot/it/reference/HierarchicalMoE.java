package dev.topknot.it.reference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The two-level layer of [S17] app. B: a primary gate over groups, and in each group a secondary
 * gate over its experts. Experts are numbered group by group.
 */
public final class HierarchicalMoE {
  private final Gating primary;
  private final List<Gating> secondary;
  private final double importanceWeight;
  private final double loadWeight;
  private final List<Expert> experts;

  /** A layer of a primary gate, one secondary gate a group, and the experts of all groups. */
  public HierarchicalMoE(
      Gating primary,
      List<Gating> secondary,
      double importanceWeight,
      double loadWeight,
      List<Expert> experts) {
    this.primary = primary;
    this.secondary = List.copyOf(secondary);
    this.importanceWeight = importanceWeight;
    this.loadWeight = loadWeight;
    this.experts = List.copyOf(experts);
  }

  /**
   * Runs the layer.
   *
   * @param x [tokens, width]
   * @param primaryNoise ξ of the primary gate, [tokens, groups]
   * @param secondaryNoise ξ of each group's gate, [tokens, group size]; only the tokens of a group
   *     read theirs
   */
  public Forward forward(Matrix x, Matrix primaryNoise, List<Matrix> secondaryNoise) {
    return forward(x, primaryNoise, secondaryNoise, null);
  }

  /**
   * Runs the layer.
   *
   * @param x [tokens, width]
   * @param primaryNoise ξ of the primary gate, [tokens, groups]; null in evaluation
   * @param secondaryNoise ξ of each group's gate, [tokens, group size]; null in evaluation
   * @param chosen a device's selection, the experts of each token, or null for the gates' own
   */
  public Forward forward(
      Matrix x, Matrix primaryNoise, List<Matrix> secondaryNoise, int[][] chosen) {
    return new Forward(x, primaryNoise, secondaryNoise, chosen);
  }

  /** The layer's forward pass. Its own losses are part of what {@link #backward} differentiates. */
  public final class Forward implements Pass {
    private final int groupSize;
    private final Gating.Forward gp;
    private final int[][] tokens;
    private final List<Gating.Forward> gs = new ArrayList<>();
    private final Matrix gates;
    private final Mixture mixture;
    private final double[] importance;
    private final double[] load;

    private Forward(Matrix x, Matrix primaryNoise, List<Matrix> secondaryNoise, int[][] device) {
      groupSize = secondary.get(0).experts();
      gp = primary.forward(x, primaryNoise, device == null ? null : groups(device));
      tokens = new int[secondary.size()][];
      gates = Matrix.zeros(x.rows(), experts.size());
      load = new double[experts.size()];
      for (int group = 0; group < secondary.size(); group++) {
        int i = group;
        tokens[i] =
            IntStream.range(0, x.rows())
                .filter(t -> Arrays.stream(gp.chosen()[t]).anyMatch(chosen -> chosen == i))
                .toArray();
        Gating.Forward g =
            secondary
                .get(i)
                .forward(
                    x.gather(tokens[i]),
                    secondaryNoise == null ? null : secondaryNoise.get(i).gather(tokens[i]),
                    device == null ? null : within(device, i));
        gs.add(g);
        for (int j = 0; j < groupSize; j++) {
          for (int r = 0; r < tokens[i].length; r++) {
            int t = tokens[i][r];
            gates.set(t, i * groupSize + j, gp.gates().get(t, i) * g.gates().get(r, j));
          }
          if (tokens[i].length > 0) {
            load[i * groupSize + j] = gp.load()[i] * g.load()[j] / tokens[i].length;
          }
        }
      }
      mixture = new Mixture(x, gates, experts);
      importance = gates.columnSums().data();
    }

    private int[][] groups(int[][] device) {
      return Arrays.stream(device)
          .map(experts -> Arrays.stream(experts).map(e -> e / groupSize).distinct().toArray())
          .toArray(int[][]::new);
    }

    /** What a device chose in a group, for the tokens that it sent there. */
    private int[][] within(int[][] device, int group) {
      return Arrays.stream(tokens[group])
          .mapToObj(
              t ->
                  Arrays.stream(device[t])
                      .filter(e -> e / groupSize == group)
                      .map(e -> e % groupSize)
                      .toArray())
          .toArray(int[][]::new);
    }

    @Override
    public Matrix y() {
      return mixture.y();
    }

    /** How many tokens each expert has. */
    public long[] counts() {
      long[] counts = new long[experts.size()];
      for (int i = 0; i < gs.size(); i++) {
        for (int[] experts : gs.get(i).chosen()) {
          for (int j : experts) {
            counts[i * groupSize + j]++;
          }
        }
      }
      return counts;
    }

    /** The gaps of the tokens whose groups or experts a device chose differently. */
    public List<Double> gaps(int[][] device) {
      List<Double> gaps = new ArrayList<>(gp.gaps(groups(device)).values());
      for (int i = 0; i < gs.size(); i++) {
        gaps.addAll(gs.get(i).gaps(within(device, i)).values());
      }
      return gaps;
    }

    /** Gp(x)_i G_i(x)_j, [tokens, experts]. */
    public Matrix gates() {
      return gates;
    }

    /** The importance of every expert. */
    public double[] importance() {
      return importance;
    }

    /** Load_p(X)_i · Load_i(X⁽ⁱ⁾)_j / |X⁽ⁱ⁾|; 0 in a group nobody chose. */
    public double[] load() {
      return load;
    }

    /** w_importance · CV²(importance) over all experts. */
    public double importanceLoss() {
      return importanceWeight * Balance.cvSquared(importance);
    }

    /** w_load · CV²(load) over all experts. */
    public double loadLoss() {
      return loadWeight * Balance.cvSquared(load);
    }

    @Override
    public Gradients backward(Matrix dy) {
      Gradients fromExperts = mixture.backward(dy);
      Matrix dGates =
          mixture
              .gateGradient(dy)
              .plusRow(Matrix.row(Balance.cvSquaredGradient(importance)).scaled(importanceWeight));
      double[] dLoad =
          Arrays.stream(Balance.cvSquaredGradient(load)).map(d -> loadWeight * d).toArray();
      Matrix dPrimary = Matrix.zeros(dy.rows(), secondary.size());
      double[] dPrimaryLoad = new double[secondary.size()];
      Matrix dx = fromExperts.x();
      Map<String, Matrix> byName = new LinkedHashMap<>(fromExperts.byName());
      for (int i = 0; i < secondary.size(); i++) {
        Gating.Forward g = gs.get(i);
        Matrix dSecondary = Matrix.zeros(tokens[i].length, groupSize);
        double[] dSecondaryLoad = new double[groupSize];
        for (int j = 0; j < groupSize; j++) {
          int expert = i * groupSize + j;
          for (int r = 0; r < tokens[i].length; r++) {
            int t = tokens[i][r];
            dSecondary.set(r, j, dGates.get(t, expert) * gp.gates().get(t, i));
            dPrimary.add(t, i, dGates.get(t, expert) * g.gates().get(r, j));
          }
          if (tokens[i].length > 0) {
            dSecondaryLoad[j] = dLoad[expert] * gp.load()[i] / tokens[i].length;
            dPrimaryLoad[i] += dLoad[expert] * g.load()[j] / tokens[i].length;
          }
        }
        Gradients gradients = g.backward(dSecondary, dSecondaryLoad);
        dx.scatterAdd(tokens[i], gradients.x());
        String prefix = "secondary." + i + ".";
        gradients.byName().forEach((name, gradient) -> byName.put(prefix + name, gradient));
      }
      Gradients gradients = gp.backward(dPrimary, dPrimaryLoad);
      gradients.byName().forEach((name, gradient) -> byName.put("primary." + name, gradient));
      return new Gradients(dx.plus(gradients.x()), byName);
    }
  }
}
