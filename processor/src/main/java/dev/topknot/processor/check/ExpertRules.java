package dev.topknot.processor.check;

import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Mark;
import java.util.List;

/** What {@code @Expert} may say, and where. */
final class ExpertRules {
  private ExpertRules() {}

  static void besideALayer(Declaration declaration, Findings findings) {
    alone(declaration.marks(), declaration.name().nested(), findings);
    for (Method method : declaration.methods()) {
      if (method.layer().isEmpty()) {
        alone(method.marks(), method.signature(), findings);
      }
    }
  }

  private static void alone(List<Mark> marks, String name, Findings findings) {
    if (marks.stream().noneMatch(mark -> mark.name().equals("MoELayer"))) {
      marks.stream()
          .filter(mark -> mark.name().equals("Expert"))
          .findFirst()
          .ifPresent(mark -> findings.add(Problem.EXPERT_ALONE, mark.site(), name));
    }
  }

  static void present(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      if (moe.kinds().isEmpty()) {
        findings.add(Problem.EXPERT_MISSING, moe.layer().site(), moe.name());
      }
    }
  }

  static void oneKind(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      if (moe.kinds().size() > 1) {
        findings.add(
            Problem.SEVERAL_EXPERTS, moe.kinds().get(1).site(), moe.name(), moe.kinds().size());
      }
    }
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

  static void oneHiddenLayer(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      for (Mark kind : moe.kinds()) {
        List<Integer> hidden = kind.integers("hidden");
        if (hidden.size() > 1) {
          findings.add(
              Problem.HIDDEN_DEEP,
              kind.site("hidden", 1),
              hidden.size(),
              hidden.stream().mapToLong(Integer::longValue).sum());
        }
      }
    }
  }
}
