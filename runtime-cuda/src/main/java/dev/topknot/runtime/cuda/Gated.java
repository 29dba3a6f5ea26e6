package dev.topknot.runtime.cuda;

/**
 * Where a gate leaves what users read as its balance, after a forward.
 *
 * @param layer name of the layer; empty for a layer that stands alone
 * @param experts number of experts
 * @param importance address of as many floats
 * @param load address of as many floats
 * @param offsets address of one more ints: where each expert's tokens begin
 * @param dropped address of an int, the number of tokens without an expert; 0: every token has one
 * @param tokens most tokens of a call, where they can be without an expert
 * @param k experts that they are sent to on average at most
 */
public record Gated(
    String layer,
    int experts,
    long importance,
    long load,
    long offsets,
    long dropped,
    int tokens,
    int k) {
  /** A gate that sends every token to equally many experts. */
  public Gated(String layer, int experts, long importance, long load, long offsets) {
    this(layer, experts, importance, load, offsets, 0, 0, 0);
  }
}
