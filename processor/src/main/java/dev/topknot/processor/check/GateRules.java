package dev.topknot.processor.check;

import dev.topknot.dsl.Gating;
import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Mark;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/** What {@code @MoELayer} may say about the gate. */
final class GateRules {
  private GateRules() {}

  static void kWithinExperts(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      if (moe.k().isPresent() && moe.experts().isPresent()) {
        int k = moe.k().getAsInt();
        int experts = moe.experts().getAsInt();
        if (experts >= 1 && k > experts) {
          findings.add(Problem.K_EXCEEDS_EXPERTS, moe.layer().site("k"), k, experts);
        }
      }
    }
  }

  static void kPositive(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      if (moe.k().isPresent() && moe.k().getAsInt() < 1) {
        findings.add(
            Problem.K_NOT_POSITIVE,
            moe.layer().site("k"),
            moe.k().getAsInt(),
            Math.max(1, moe.choices().orElse(1)));
      }
    }
  }

  static void lossWeights(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      for (String attribute : List.of("importanceLoss", "loadLoss")) {
        invalid(moe.layer(), attribute)
            .ifPresent(
                value ->
                    findings.add(
                        Problem.LOSS_WEIGHT_INVALID,
                        moe.layer().site(attribute),
                        attribute,
                        value));
      }
    }
  }

  static void noiseFloor(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      invalid(moe.layer(), "noiseFloor")
          .ifPresent(
              value ->
                  findings.add(Problem.NOISE_FLOOR_INVALID, moe.layer().site("noiseFloor"), value));
    }
  }

  /** A value that is negative, or not finite as the 32-bit float it becomes. */
  private static Optional<Double> invalid(Mark mark, String attribute) {
    OptionalDouble value = mark.number(attribute);
    return value.isPresent()
            && !(value.getAsDouble() >= 0 && Float.isFinite((float) value.getAsDouble()))
        ? Optional.of(value.getAsDouble())
        : Optional.empty();
  }

  static void noisyTop1(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      if (moe.gated() && moe.k().orElse(0) == 1 && moe.layer().is("gating", Gating.NOISY_TOP_K)) {
        findings.add(Problem.NOISY_TOP_1, moe.layer().site("k"));
      }
      if (moe.groups().isPresent() && moe.groupsOfToken().orElse(0) == 1) {
        findings.add(Problem.NOISY_TOP_1, moe.hierarchy().orElseThrow().site("k"));
      }
    }
  }

  static void effectOfLosses(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      Mark layer = moe.layer();
      boolean some =
          layer.number("loadLoss").orElse(0) != 0 && invalid(layer, "loadLoss").isEmpty();
      if (!moe.gated() || !layer.wrote("loadLoss") || !some) {
        continue;
      }
      if (!layer.is("gating", Gating.NOISY_TOP_K)) {
        noEffect(
            layer, "loadLoss", "without noise the load is a count and has no gradient", findings);
      } else if (moe.k().equals(moe.choices()) && moe.groupsOfToken().equals(moe.groups())) {
        noEffect(layer, "loadLoss", "with k = experts every token goes to every expert", findings);
      }
    }
  }

  static void effectOfNoiseFloor(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      Mark layer = moe.layer();
      boolean valid = layer.wrote("noiseFloor") && invalid(layer, "noiseFloor").isEmpty();
      if (moe.gated() && valid && !layer.is("gating", Gating.NOISY_TOP_K)) {
        noEffect(layer, "noiseFloor", "only gating = NOISY_TOP_K has noise", findings);
      }
    }
  }

  static void effectWithinModel(Declaration declaration, Findings findings) {
    for (Method method : declaration.layers()) {
      method
          .mark("MoELayer")
          .ifPresent(
              mark -> {
                for (String attribute : List.of("optimizer", "precision")) {
                  if (mark.wrote(attribute)) {
                    noEffect(mark, attribute, "in a model, that of @MoEModel holds", findings);
                  }
                }
              });
    }
  }

  private static void noEffect(Mark mark, String attribute, String reason, Findings findings) {
    findings.add(
        Problem.NO_EFFECT,
        mark.site(attribute),
        attribute,
        mark.values().getOrDefault(attribute, "?"),
        reason);
  }
}
