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
    Thresholds thresholds,
    List<ExpertKind> kinds) {
  /** Copies the kinds. */
  public MoE {
    kinds = List.copyOf(kinds);
  }

  /**
   * What strictly balanced gating evaluates with.
   *
   * @param start of every threshold
   * @param loss the weight of L_batchwise
   * @param k experts a token on average at most
   */
  public record Thresholds(double start, double loss, int k) {}

  /** Whether its gate is strictly balanced: experts choose tokens. */
  public boolean balanced() {
    return gating == Gating.STRICTLY_BALANCED;
  }

  /** Places of a token for the gate values of its experts: one an expert where any may take it. */
  public int places() {
    return balanced() ? experts : k;
  }

  /** The same layer with another k. */
  public MoE withK(int other) {
    return new MoE(
        type,
        experts,
        other,
        width,
        tokens,
        gating,
        importanceLoss,
        loadLoss,
        noiseFloor,
        thresholds,
        kinds);
  }

  /** The one kind of experts that checked layers have. */
  public ExpertKind expert() {
    return kinds.get(0);
  }
}
