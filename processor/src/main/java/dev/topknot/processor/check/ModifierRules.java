package dev.topknot.processor.check;

import dev.topknot.processor.check.LayerView.Kind;
import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Mark;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Set;

/** What {@code @Activation}, {@code @Dropout} and {@code @Residual} may say, and where. */
final class ModifierRules {
  private static final Set<String> MODIFIERS = Set.of("Activation", "Dropout", "Residual");

  private ModifierRules() {}

  private static List<Mark> modifiers(Method method) {
    return method.marks().stream().filter(mark -> MODIFIERS.contains(mark.name())).toList();
  }

  static void residualOnEmbedding(Declaration declaration, Findings findings) {
    for (LayerView layer : LayerView.in(declaration)) {
      if (layer.is(Kind.EMBEDDING)) {
        layer
            .method()
            .mark("Residual")
            .ifPresent(
                mark -> findings.add(Problem.RESIDUAL_ON_EMBEDDING, mark.site(), layer.name()));
      }
    }
  }

  static void notOnSoftmax(Declaration declaration, Findings findings) {
    for (LayerView layer : LayerView.in(declaration)) {
      if (layer.is(Kind.SOFTMAX)) {
        for (Mark mark : modifiers(layer.method())) {
          findings.add(Problem.MODIFIER_ON_SOFTMAX, mark.site(), mark.name(), layer.name());
        }
      }
    }
  }

  static void onLayersOnly(Declaration declaration, Findings findings) {
    for (Method method : declaration.methods()) {
      if (!declaration.isLayer(method) && LayerView.annotations(method).isEmpty()) {
        for (Mark mark : modifiers(method)) {
          findings.add(
              Problem.MODIFIER_WITHOUT_LAYER,
              mark.site(),
              mark.name(),
              method.signature(),
              MethodRules.advice(declaration));
        }
      }
    }
  }

  static void dropoutRate(Declaration declaration, Findings findings) {
    for (Method method : declaration.methods()) {
      for (Mark mark : modifiers(method)) {
        OptionalDouble rate = mark.number("value");
        // As a 32-bit float, the rate must leave something to divide by.
        if (rate.isPresent() && !(rate.getAsDouble() >= 0 && (float) rate.getAsDouble() < 1)) {
          findings.add(Problem.DROPOUT_RATE, mark.site("value"), rate.getAsDouble());
        }
      }
    }
  }
}
