package dev.topknot.runtime.cuda;

/**
 * Where a gate leaves what users read as its routing, after a forward.
 *
 * @param layer name of the layer
 * @param k experts of each token
 * @param experts address of k ints a token
 * @param gates address of k floats a token
 */
public record Chosen(String layer, int k, long experts, long gates) {}
