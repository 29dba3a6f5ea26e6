package dev.topknot.processor.model;

import dev.topknot.dsl.Gating;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What the annotations of a Mixture-of-Experts layer say.
 *
 * @param type the annotated interface whose layer this is; empty where the annotations stand on a
 *     model's method
 * @param width as written; absent where the model's holds
 * @param tokens as written; absent where the model's holds
 * @param kinds the {@code @Expert}s, in the order they are written
 */
public record MoE(
    Optional<SpecName> type,
    int experts,
    int k,
    OptionalInt width,
    OptionalInt tokens,
    Gating gating,
    double importanceLoss,
    double loadLoss,
    double noiseFloor,
    List<ExpertKind> kinds) {
  /** Copies the kinds. */
  public MoE {
    kinds = List.copyOf(kinds);
  }

  /** The one kind of experts that checked layers have. */
  public ExpertKind expert() {
    return kinds.get(0);
  }
}
