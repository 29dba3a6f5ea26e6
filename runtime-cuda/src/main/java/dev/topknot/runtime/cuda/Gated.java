package dev.topknot.runtime.cuda;

/**
 * Where a gate leaves what users read as its balance, after a forward.
 *
 * @param layer name of the layer; empty for a layer that stands alone
 * @param experts number of experts
 * @param importance address of as many floats
 * @param load address of as many floats
 * @param offsets address of one more ints: where each expert's tokens begin
 */
public record Gated(String layer, int experts, long importance, long load, long offsets) {}
