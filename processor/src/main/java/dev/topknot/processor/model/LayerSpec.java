package dev.topknot.processor.model;

import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;

/**
 * A Mixture-of-Experts layer of its own.
 *
 * @param width the length of a token's vector
 * @param tokens the most tokens in one call
 */
public record LayerSpec(
    SpecName name,
    boolean isPublic,
    MoE moe,
    int width,
    long tokens,
    Optimizer optimizer,
    Precision precision)
    implements Spec {
  @Override
  public LayerSpec with(Optimizer other, boolean recompute) {
    return new LayerSpec(
        name, isPublic, moe.withRecompute(recompute), width, tokens, other, precision);
  }
}
