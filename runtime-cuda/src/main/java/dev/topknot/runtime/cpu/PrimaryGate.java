package dev.topknot.runtime.cpu;

/**
 * The upper level of a hierarchy ([S17] app. B): a {@link NoisyTopKGate} over groups of experts,
 * and the tokens sorted by group. It has no losses of its own: what those of the flattened experts
 * say about it comes to it as gradients ({@link HierarchicalGate}).
 */
public final class PrimaryGate {
  private final int groups;
  private final NoisyTopKGate gate;
  private final Dispatch dispatch;
  private final Matrix importance;
  private final float[] noSlope;
  private final float[] loadSlope;

  /**
   * An op of fixed shapes.
   *
   * @param context threads, products and options
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param groups number of groups, b
   * @param primaryK groups a token, so that there are P = T·primaryK rows of groups
   * @param noiseFloor annotated least deviation of the noise
   * @param importanceLoss annotated weight of CV²(importance)
   * @param loadLoss annotated weight of CV²(load)
   * @param streamLayer number of the layer in noise streams
   */
  public PrimaryGate(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int groups,
      int primaryK,
      double noiseFloor,
      double importanceLoss,
      double loadLoss,
      int streamLayer) {
    this.groups = groups;
    gate =
        new NoisyTopKGate(
            context,
            layer,
            tokens,
            width,
            groups,
            primaryK,
            noiseFloor,
            importanceLoss,
            loadLoss,
            streamLayer);
    dispatch = new Dispatch(context, layer, tokens, groups, primaryK);
    importance = Scratch.matrix(1, groups);
    noSlope = new float[groups];
    loadSlope = new float[groups];
  }

  /**
   * Chooses and weighs groups, and sorts tokens by them.
   *
   * @param x the tokens, [T, d]
   * @param gateWeights [b, d]
   * @param noiseWeights [b, d]
   * @param clean written, [T, b]: x·W_g
   * @param raw written, [T, b]: x·W_noise; zero where noise is off
   * @param noisy written, [T, b]: H
   * @param chosen written, [P]: each token's groups, the largest H first
   * @param gates written, [T, primaryK]: their weights
   * @param load written, [1, b]: the expected number of tokens, or their count
   * @param offsets written: rows of group i are {@code offsets[i]} to {@code offsets[i + 1]}, [b +
   *     1]
   * @param rows written for valid tokens: the token of each row, [P]
   * @param slots written for valid tokens: the row of each pair {@code token · primaryK + choice},
   *     [P]
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
      Matrix load,
      Ints offsets,
      Ints rows,
      Ints slots) {
    gate.forward(
        run, x, gateWeights, noiseWeights, clean, raw, noisy, chosen, gates, importance, load);
    dispatch.forward(run, chosen, offsets, rows, slots);
  }

  /** Likewise without noise; the arguments are those of {@link #forward}. */
  public void infer(
      Run run,
      Matrix x,
      Matrix gateWeights,
      Matrix clean,
      Ints chosen,
      Matrix gates,
      Matrix load,
      Ints offsets,
      Ints rows,
      Ints slots) {
    gate.infer(run, x, gateWeights, clean, chosen, gates, importance, load);
    dispatch.forward(run, chosen, offsets, rows, slots);
  }

  /**
   * The gradients of the latest forward.
   *
   * @param x as in forward
   * @param gateWeights as in forward
   * @param noiseWeights as in forward
   * @param clean as forward left it
   * @param raw as forward left it
   * @param noisy as forward left it
   * @param chosen as forward left it
   * @param gates as forward left it
   * @param dGates gradient of the weights, [T, primaryK]
   * @param dLoad gradient of the load, [1, b]
   * @param dClean scratch, [T, b]: the gradient of x·W_g
   * @param dRaw scratch, [T, b]: the gradient of x·W_noise
   * @param dx added to, [T, d]
   * @param dGateWeights written or added to as the run's beta says, [b, d]
   * @param dNoiseWeights likewise, [b, d]
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
      Matrix dGates,
      Matrix dLoad,
      Matrix dClean,
      Matrix dRaw,
      Matrix dx,
      Matrix dGateWeights,
      Matrix dNoiseWeights) {
    dLoad.read(0, loadSlope, 0, groups);
    gate.backward(
        run,
        x,
        gateWeights,
        noiseWeights,
        clean,
        raw,
        noisy,
        chosen,
        gates,
        noSlope,
        loadSlope,
        dGates,
        dClean,
        dRaw,
        dx,
        dGateWeights,
        dNoiseWeights);
  }
}
