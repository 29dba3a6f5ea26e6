package dev.topknot.processor.check;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Mark;
import java.util.List;
import java.util.stream.Collectors;

/** What {@code @Expert} may say, and where. */
final class ExpertRules {
  private ExpertRules() {}

  static void besideALayer(Declaration declaration, Findings findings) {
    alone("Expert", Problem.EXPERT_ALONE, declaration, findings);
  }

  /** Reports an annotation that belongs to a layer where there is no {@code @MoELayer}. */
  static void alone(
      String annotation, Problem problem, Declaration declaration, Findings findings) {
    alone(annotation, problem, declaration.marks(), declaration.name().nested(), findings);
    for (Method method : declaration.methods()) {
      if (method.layer().isEmpty()) {
        alone(annotation, problem, method.marks(), method.signature(), findings);
      }
    }
  }

  private static void alone(
      String annotation, Problem problem, List<Mark> marks, String name, Findings findings) {
    if (marks.stream().noneMatch(mark -> mark.name().equals("MoELayer"))) {
      marks.stream()
          .filter(mark -> mark.name().equals(annotation))
          .findFirst()
          .ifPresent(mark -> findings.add(problem, mark.site(), name));
    }
  }

  static void present(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      if (moe.kinds().isEmpty()) {
        findings.add(Problem.EXPERT_MISSING, moe.layer().site(), moe.name());
      }
    }
  }

  static void someRouted(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      if (!moe.kinds().isEmpty() && moe.routed().isEmpty()) {
        findings.add(Problem.ONLY_SHARED, moe.kinds().get(0).site(), moe.name());
      }
    }
  }

  /** Only the first kind without a count can get the rest. */
  static void countsPresent(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      List<Mark> without = moe.withoutCount();
      for (Mark kind : without.subList(Math.min(1, without.size()), without.size())) {
        findings.add(
            Problem.COUNT_MISSING,
            kind.site(),
            without.size(),
            moe.name(),
            moe.experts().isPresent() ? moe.experts().getAsInt() : "?");
      }
    }
  }

  static void countsAddUp(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      List<Integer> counts =
          moe.routed().stream()
              .flatMap(kind -> kind.writtenInteger("count").stream().boxed())
              .toList();
      List<Mark> without = moe.withoutCount();
      boolean sensible = counts.stream().allMatch(Sizes::valid) && moe.readable();
      if (counts.isEmpty() || !sensible || without.size() > 1) {
        continue; // nothing to add up, or reported elsewhere
      }
      long sum = counts.stream().mapToLong(Integer::longValue).sum();
      int experts = moe.experts().getAsInt();
      if (without.isEmpty() ? sum != experts : sum >= experts) {
        findings.add(
            Problem.COUNTS_DIFFER,
            lastWithCount(moe).site("count"),
            moe.name(),
            counts.stream().map(String::valueOf).collect(Collectors.joining(" + ")),
            sum,
            experts,
            without.isEmpty()
                ? "make them equal"
                : "nothing is left for the kind without count: make experts larger");
      }
    }
  }

  private static Mark lastWithCount(MoEView moe) {
    return moe.routed().stream()
        .filter(kind -> kind.wrote("count"))
        .reduce((before, kind) -> kind)
        .orElseThrow();
  }

  static void hiddenNotEmpty(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      for (Mark kind : moe.kinds()) {
        if (kind.values().containsKey("hidden") && kind.integers("hidden").isEmpty()) {
          findings.add(Problem.HIDDEN_EMPTY, kind.site("hidden"));
        }
      }
    }
  }

  static void swigluOfOneLayer(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      for (Mark kind : moe.kinds()) {
        int layers = kind.integers("hidden").size();
        if (layers > 1 && kind.is("activation", ActivationFunction.SWIGLU)) {
          findings.add(Problem.SWIGLU_DEEP, kind.site("hidden", 1), layers);
        }
      }
    }
  }
}
