package dev.topknot.runtime;

/**
 * An evaluation of a layer with strictly balanced gating chose more pairs of tokens and experts
 * than memory was planned for, {@code evaluationK} times the tokens of a call. Its outputs are of
 * no use; parameters, moments, step number and carried state are as before.
 */
public final class EvaluationOverflowException extends IllegalStateException {
  private static final long serialVersionUID = 1;

  private final String layer;
  private final long pairs;
  private final long room;

  /**
   * A failed evaluation.
   *
   * @param layer name of the layer; empty for a layer that stands alone
   * @param pairs of a token and an expert whose threshold it exceeds
   * @param tokens most tokens of a call
   * @param evaluationK as annotated: there is room for {@code evaluationK · tokens} pairs
   */
  public EvaluationOverflowException(String layer, long pairs, int tokens, int evaluationK) {
    super(
        String.format(
            "%s%d pairs of tokens and experts exceed the thresholds, but evaluationK = %d has room"
                + " for %d x %d = %d; nothing was changed: raise evaluationK, or give fewer tokens"
                + " in a call",
            layer.isEmpty() ? "" : layer + ": ",
            pairs,
            evaluationK,
            evaluationK,
            tokens,
            (long) evaluationK * tokens));
    this.layer = layer;
    this.pairs = pairs;
    this.room = (long) evaluationK * tokens;
  }

  /** Name of the layer; empty for a layer that stands alone. */
  public String layer() {
    return layer;
  }

  /** How many pairs of a token and an expert were chosen. */
  public long pairs() {
    return pairs;
  }

  /** For how many there is room. */
  public long room() {
    return room;
  }
}
