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
import java.util.OptionalInt;

/** What {@code @MoELayer} may say about the gate. */
final class GateRules {
  /** Experts from which on a dense gate is worth a warning. */
  private static final int MANY = 32;

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
      for (String attribute : List.of("importanceLoss", "loadLoss", "thresholdLoss")) {
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

  static void denseSoftmax(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      int k = moe.k().orElse(0);
      int experts = moe.experts().orElse(0);
      boolean dense = moe.layer().is("gating", Gating.SOFTMAX) && moe.hierarchy().isEmpty();
      if (!moe.gated() || !dense || k < 1 || k > experts) {
        continue;
      }
      if (k < experts) {
        findings.add(Problem.SOFTMAX_NOT_DENSE, moe.layer().site("k"), k, experts);
      } else if (experts >= MANY) {
        findings.add(Problem.DENSE_SOFTMAX, moe.layer().site("experts"), experts);
      }
    }
  }

  static void evenExperts(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      long k = moe.k().orElse(0);
      long tokens = moe.tokens().orElse(0);
      long experts = moe.experts().orElse(0);
      boolean valid = k >= 1 && k <= experts && tokens >= 1 && moe.hierarchy().isEmpty();
      if (moe.gated() && balanced(moe) && valid && k * tokens % experts != 0) {
        findings.add(Problem.UNEVEN_EXPERTS, moe.layer().site("k"), k, tokens, experts);
      }
    }
  }

  static void thresholds(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      Mark layer = moe.layer();
      if (unbounded(moe)) {
        findings.add(
            Problem.THRESHOLD_INVALID,
            layer.site("evaluationK"),
            "evaluationK",
            layer.integer("evaluationK").orElseThrow(),
            "an evaluation sends a token to k = %d to %d experts on average; leave it out for all"
                .formatted(moe.k().orElse(1), moe.experts().orElseThrow()));
      }
      double threshold = layer.number("threshold").orElse(0);
      if (!isThreshold(threshold)) {
        findings.add(
            Problem.THRESHOLD_INVALID,
            layer.site("threshold"),
            "threshold",
            threshold,
            "a threshold of probabilities is at least 0, where every token passes, and below 1, where"
                + " none does");
      }
    }
  }

  /** Whether some softmax value exceeds it as the float that it becomes. */
  private static boolean isThreshold(double threshold) {
    return threshold >= 0 && (float) threshold < 1;
  }

  /** Whether its evaluationK is no number of its experts. */
  private static boolean unbounded(MoEView moe) {
    int experts = moe.experts().orElse(0);
    OptionalInt k = moe.layer().writtenInteger("evaluationK");
    return experts >= 1
        && k.isPresent()
        && (k.getAsInt() < moe.k().orElse(1) || k.getAsInt() > experts);
  }

  private static boolean balanced(MoEView moe) {
    return moe.layer().is("gating", Gating.STRICTLY_BALANCED);
  }

  static void top1(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      boolean noisy = moe.layer().is("gating", Gating.NOISY_TOP_K);
      if (!moe.gated() || !(noisy || moe.layer().is("gating", Gating.TOP_K))) {
        continue;
      }
      Gating gating = noisy ? Gating.NOISY_TOP_K : Gating.TOP_K;
      String learns =
          noisy
              ? "learns from the balancing losses only"
              : "never learns and sends all tokens to one expert";
      boolean flat = moe.hierarchy().isEmpty();
      if (moe.k().orElse(0) == 1 && (flat || moe.choices().orElse(0) > 1)) {
        String advice =
            flat ? "k >= 2 or gating = SOFTMAX_TOP_K" : "k >= 2 where a group has as many experts";
        findings.add(Problem.TOP_1, moe.layer().site("k"), gating, learns, advice);
      }
      if (moe.groups().isPresent() && moe.groupsOfToken().orElse(0) == 1) {
        findings.add(
            Problem.TOP_1, moe.hierarchy().orElseThrow().site("k"), gating, learns, "k >= 2");
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
      if (balanced(moe)) {
        noEffect(layer, "loadLoss", "strictly balanced experts have equal loads", findings);
      } else if (!layer.is("gating", Gating.NOISY_TOP_K)) {
        noEffect(
            layer, "loadLoss", "without noise the load is a count and has no gradient", findings);
      } else if (moe.k().equals(moe.choices()) && moe.groupsOfToken().equals(moe.groups())) {
        noEffect(layer, "loadLoss", "with k = experts every token goes to every expert", findings);
      }
    }
  }

  static void effectOfBalanced(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      Mark layer = moe.layer();
      boolean some =
          layer.number("importanceLoss").orElse(0) != 0
              && invalid(layer, "importanceLoss").isEmpty();
      if (!moe.gated()) {
        continue;
      }
      if (balanced(moe) && layer.wrote("importanceLoss") && some) {
        noEffect(
            layer,
            "importanceLoss",
            "gating = STRICTLY_BALANCED has no balancing losses",
            findings);
      }
      for (String attribute : List.of("threshold", "thresholdLoss", "evaluationK")) {
        boolean valid =
            invalid(layer, attribute).isEmpty()
                && !unbounded(moe)
                && isThreshold(layer.number("threshold").orElse(0));
        if (!balanced(moe) && layer.wrote(attribute) && valid) {
          noEffect(layer, attribute, "only gating = STRICTLY_BALANCED has thresholds", findings);
        }
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
