package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Balance;

/**
 * What both levels of a hierarchy say together ([S17] app. B): each token's experts, numbered group
 * by group, with the products of the primary and the secondary gate values; importance, the sum of
 * these; and load, Load_p(X)_i · Load_i(X⁽ⁱ⁾)_j / |X⁽ⁱ⁾|, 0 in a group without tokens. The losses
 * are those of all experts; backward, their gradients and the gates' go to both levels.
 *
 * <p>It works on the calling thread: it takes less time than waking others.
 */
public final class HierarchicalGate {
  private final int groups;
  private final int primaryK;
  private final int size;
  private final int k;
  private final BalanceSums sums;
  private final int[] groupOf;
  private final int[] offsets;
  private final int[] slots;
  private final int[] within;
  private final int[] chosen;
  private final float[] primary;
  private final float[] secondary;
  private final float[] gates;
  private final float[] primaryLoad;
  private final float[] secondaryLoad;
  private final float[] dPrimary;
  private final float[] dSecondary;

  /**
   * An op of fixed shapes.
   *
   * @param context options
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param experts number of experts of all groups, n
   * @param k experts a token, those in all of its groups together
   * @param groups number of groups, b
   * @param primaryK groups a token, so that there are P = T·primaryK rows of groups
   * @param importanceLoss annotated weight of CV²(importance)
   * @param loadLoss annotated weight of CV²(load)
   */
  public HierarchicalGate(
      CpuContext context,
      String layer,
      int tokens,
      int experts,
      int k,
      int groups,
      int primaryK,
      double importanceLoss,
      double loadLoss) {
    this.groups = groups;
    this.primaryK = primaryK;
    this.size = experts / groups;
    this.k = k / primaryK;
    sums =
        new BalanceSums(
            1,
            experts,
            context.options().importanceLoss(layer, importanceLoss),
            context.options().loadLoss(layer, loadLoss));
    groupOf = new int[Math.multiplyExact(tokens, primaryK)];
    offsets = new int[groups + 1];
    slots = new int[groupOf.length];
    within = new int[Math.multiplyExact(tokens, k)];
    chosen = new int[within.length];
    primary = new float[groupOf.length];
    secondary = new float[within.length];
    gates = new float[within.length];
    primaryLoad = new float[groups];
    secondaryLoad = new float[experts];
    dPrimary = new float[groupOf.length];
    dSecondary = new float[within.length];
  }

  /**
   * Puts both levels together. There is nothing to leave out without noise.
   *
   * @param primaryChosen each token's groups, [P]
   * @param primaryGates their weights, [T, primaryK]
   * @param primaryLoad of the groups, [1, b]
   * @param offsets rows of group i are {@code offsets[i]} to {@code offsets[i + 1]}, [b + 1]
   * @param slots the row of each pair {@code token · primaryK + choice}, [P]
   * @param secondaryChosen each row's experts, numbered within their group, [P·k/primaryK]
   * @param secondaryGates their weights, [P, k/primaryK]
   * @param secondaryLoad of the experts, over the tokens of their group, [1, n]
   * @param chosen written, [T·k]: each token's experts, group by group as it chose them
   * @param gates written, [T, k]: their weights
   * @param importance written, [1, n]: the sum of the weights
   * @param load written, [1, n]
   */
  public void forward(
      Run run,
      Ints primaryChosen,
      Matrix primaryGates,
      Matrix primaryLoad,
      Ints offsets,
      Ints slots,
      Ints secondaryChosen,
      Matrix secondaryGates,
      Matrix secondaryLoad,
      Ints chosen,
      Matrix gates,
      Matrix importance,
      Matrix load) {
    int pairs =
        read(
            run,
            primaryChosen,
            primaryGates,
            primaryLoad,
            offsets,
            slots,
            secondaryChosen,
            secondaryGates,
            secondaryLoad);
    sums.begin(0);
    for (int p = 0; p < pairs; p++) {
      for (int j = 0; j < k; j++) {
        int from = this.slots[p] * k + j;
        this.chosen[p * k + j] = groupOf[p] * size + within[from];
        this.gates[p * k + j] = primary[p] * secondary[from];
      }
      sums.addImportance(0, k, this.chosen, this.gates, p * k);
    }
    for (int i = 0; i < groups; i++) {
      float factor = perToken(this.primaryLoad[i], i);
      for (int e = i * size; e < (i + 1) * size; e++) {
        this.secondaryLoad[e] *= factor;
      }
    }
    sums.addLoad(0, this.secondaryLoad);
    chosen.write(0, this.chosen, 0, pairs * k);
    gates.write(0, this.gates, 0, pairs * k);
    sums.finish(1, importance, load);
  }

  /**
   * The gradients of the latest forward, the balancing losses included.
   *
   * @param primaryChosen as in forward
   * @param primaryGates as in forward
   * @param primaryLoad as in forward
   * @param offsets as in forward
   * @param slots as in forward
   * @param secondaryChosen as in forward
   * @param secondaryGates as in forward
   * @param secondaryLoad as in forward
   * @param importance as forward left it
   * @param load as forward left it
   * @param dGates gradient of the weights, [T, k]
   * @param dPrimaryGates written, [T, primaryK]
   * @param dPrimaryLoad written, [1, b]
   * @param dSecondaryGates written, [P, k/primaryK]
   * @param dSecondaryLoad written, [1, n]
   */
  public void backward(
      Run run,
      Ints primaryChosen,
      Matrix primaryGates,
      Matrix primaryLoad,
      Ints offsets,
      Ints slots,
      Ints secondaryChosen,
      Matrix secondaryGates,
      Matrix secondaryLoad,
      Matrix importance,
      Matrix load,
      Matrix dGates,
      Matrix dPrimaryGates,
      Matrix dPrimaryLoad,
      Matrix dSecondaryGates,
      Matrix dSecondaryLoad) {
    int pairs =
        read(
            run,
            primaryChosen,
            primaryGates,
            primaryLoad,
            offsets,
            slots,
            secondaryChosen,
            secondaryGates,
            secondaryLoad);
    dGates.read(0, gates, 0, pairs * k);
    float[] importanceSlope = sums.importanceSlope(importance);
    for (int p = 0; p < pairs; p++) {
      double sum = 0;
      for (int j = 0; j < k; j++) {
        int to = this.slots[p] * k + j;
        float d = gates[p * k + j] + importanceSlope[groupOf[p] * size + within[to]];
        sum += (double) d * secondary[to];
        dSecondary[to] = d * primary[p];
      }
      dPrimary[p] = (float) sum;
    }
    dPrimaryGates.write(0, dPrimary, 0, pairs);
    dSecondaryGates.write(0, dSecondary, 0, pairs * k);
    loadSlopes(sums.loadSlope(load));
    dPrimaryLoad.write(0, this.primaryLoad, 0, groups);
    dSecondaryLoad.write(0, this.secondaryLoad, 0, groups * size);
  }

  /** From the loads of both levels to their gradients, in place. */
  private void loadSlopes(float[] slope) {
    for (int i = 0; i < groups; i++) {
      float factor = perToken(primaryLoad[i], i);
      double sum = 0;
      for (int e = i * size; e < (i + 1) * size; e++) {
        sum += (double) slope[e] * secondaryLoad[e];
        secondaryLoad[e] = slope[e] * factor;
      }
      primaryLoad[i] = perToken((float) sum, i);
    }
  }

  /** A value over |X⁽ⁱ⁾|; 0 where the group has no tokens. */
  private float perToken(float value, int group) {
    int tokens = offsets[group + 1] - offsets[group];
    return tokens == 0 ? 0 : value / tokens;
  }

  /**
   * What a user reads after a call.
   *
   * @param importance as forward left it
   * @param load as forward left it
   * @param offsets as the {@link Dispatch} of the experts left them
   */
  public Balance balance(Run run, String layer, Matrix importance, Matrix load, Ints offsets) {
    return sums.balance(layer, importance, load, offsets);
  }

  private int read(
      Run run,
      Ints primaryChosen,
      Matrix primaryGates,
      Matrix primaryLoad,
      Ints offsets,
      Ints slots,
      Ints secondaryChosen,
      Matrix secondaryGates,
      Matrix secondaryLoad) {
    int pairs = run.valid() * primaryK;
    primaryChosen.read(0, groupOf, 0, pairs);
    primaryGates.read(0, primary, 0, pairs);
    primaryLoad.read(0, this.primaryLoad, 0, groups);
    offsets.read(0, this.offsets, 0, groups + 1);
    slots.read(0, this.slots, 0, pairs);
    secondaryChosen.read(0, within, 0, pairs * k);
    secondaryGates.read(0, secondary, 0, pairs * k);
    secondaryLoad.read(0, this.secondaryLoad, 0, groups * size);
    return pairs;
  }
}
