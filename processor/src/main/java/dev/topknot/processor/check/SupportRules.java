package dev.topknot.processor.check;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Mark;

/** What the annotations can say and Topknot cannot do. */
final class SupportRules {
  private SupportRules() {}

  static void swiglu(Declaration declaration, Findings findings) {
    for (Method method : declaration.methods()) {
      for (Mark mark : method.marks()) {
        String attribute = mark.name().equals("Activation") ? "value" : "activation";
        if (!mark.name().equals("Expert") && mark.is(attribute, ActivationFunction.SWIGLU)) {
          findings.add(Problem.SWIGLU_OUTSIDE_EXPERT, mark.site(attribute), attribute, mark.name());
        }
      }
    }
  }
}
