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
 * @param experts those that the gate chooses from; the counts of their kinds add up to it
 * @param k experts a token, those in all of its groups together
 * @param width as written; absent where the model's holds
 * @param tokens as written; absent where the model's holds
 * @param recompute whether hidden layers are computed again in the backward pass, not kept
 * @param kinds the {@code @Expert}s, in the order they are written
 * @param hierarchy the groups of experts; absent where one gate chooses among all
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
    boolean recompute,
    Thresholds thresholds,
    List<ExpertKind> kinds,
    Optional<Hierarchy> hierarchy) {
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
    return with(other, recompute);
  }

  /** The same layer, its hidden layers computed again or kept. */
  public MoE withRecompute(boolean other) {
    return with(k, other);
  }

  private MoE with(int otherK, boolean otherRecompute) {
    return new MoE(
        type,
        experts,
        otherK,
        width,
        tokens,
        gating,
        importanceLoss,
        loadLoss,
        noiseFloor,
        otherRecompute,
        thresholds,
        kinds,
        hierarchy);
  }

  /** The kinds that the gate chooses from, whose experts are numbered in this order. */
  public List<ExpertKind> routed() {
    return kinds.stream().filter(kind -> !kind.shared()).toList();
  }

  /** The kinds that every token visits. */
  public List<ExpertKind> shared() {
    return kinds.stream().filter(ExpertKind::shared).toList();
  }

  /** Experts of a group; all of them where there are no groups. */
  public int groupSize() {
    return hierarchy.map(it -> experts / it.groups()).orElse(experts);
  }

  /** Experts that a token takes in each of its groups; k where there are no groups. */
  public int groupK() {
    return hierarchy.map(it -> k / it.k()).orElse(k);
  }

  /**
   * Groups of equally many experts, in their order.
   *
   * @param groups how many
   * @param k groups a token; it has equally many experts in each
   */
  public record Hierarchy(int groups, int k) {}
}
