package dev.topknot.processor.check;

import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Declaration.MethodTrait;
import dev.topknot.processor.model.Declaration.Role;
import dev.topknot.processor.model.Declaration.Trait;
import dev.topknot.processor.model.Mark;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What the methods of an annotated type may be. */
final class MethodRules {
  private MethodRules() {}

  static void layersInModelsOnly(Declaration declaration, Findings findings) {
    for (Method method : declaration.methods()) {
      if (!declaration.isLayer(method)) {
        for (Mark mark : LayerView.annotations(method)) {
          findings.add(
              Problem.LAYER_MISPLACED,
              mark.site(),
              mark.name(),
              method.signature(),
              advice(declaration));
        }
      }
    }
  }

  /** What to do about an annotation on a method that is no layer. */
  static String advice(Declaration declaration) {
    if (declaration.isModel()) {
      return "in a model, layers are methods without a body; make it one, or remove the annotation";
    }
    return declaration.mark("MoEModel").isPresent()
        ? "make " + declaration.name().nested() + " an interface"
        : "layers are methods of an interface with @MoEModel that extends LanguageModel";
  }

  static void oneLayer(Declaration declaration, Findings findings) {
    for (Method method : declaration.layers()) {
      List<Mark> annotations = LayerView.annotations(method);
      if (annotations.size() > 1 && method.layer().isEmpty()) {
        findings.add(
            Problem.SEVERAL_LAYERS,
            annotations.get(1).site(),
            method.signature(),
            annotations.stream()
                .map(mark -> "@" + mark.name())
                .collect(Collectors.joining(" and ")));
      }
    }
  }

  static void typeOrAnnotation(Declaration declaration, Findings findings) {
    for (Method method : declaration.layers()) {
      if (method.layer().isPresent()) {
        Stream.concat(
                LayerView.annotations(method).stream(),
                method.marks().stream()
                    .filter(mark -> Set.of("Expert", "Hierarchy").contains(mark.name())))
            .findFirst()
            .ifPresent(
                mark ->
                    findings.add(
                        Problem.LAYER_TWICE,
                        mark.site(),
                        method.signature(),
                        method.returns(),
                        mark.name()));
      }
    }
  }

  static void compiledType(Declaration declaration, Findings findings) {
    for (Method method : declaration.layers()) {
      method
          .layer()
          .filter(type -> !type.is(Trait.SOURCE) && !type.is(Trait.COMPILED))
          .ifPresent(
              type ->
                  findings.add(
                      Problem.LAYER_NOT_COMPILED,
                      method.site(),
                      method.signature(),
                      type.name().qualified(),
                      type.name().entry()));
    }
  }

  static void annotated(Declaration declaration, Findings findings) {
    for (Method method : declaration.layers()) {
      if (silent(method) && method.role() != Role.MOE_TYPE && method.namesake().isEmpty()) {
        findings.add(Problem.UNANNOTATED_METHOD, method.site(), method.signature());
      }
    }
  }

  static void annotatedType(Declaration declaration, Findings findings) {
    for (Method method : declaration.layers()) {
      if (silent(method) && method.role() == Role.MOE_TYPE && method.layer().isEmpty()) {
        findings.add(Problem.UNANNOTATED_TYPE, method.site(), method.signature(), method.returns());
      }
    }
  }

  /** Whether no annotation says a layer; {@code @Expert} alone is reported as such. */
  private static boolean silent(Method method) {
    return LayerView.annotations(method).isEmpty() && method.mark("Expert").isEmpty();
  }

  static void returnType(Declaration declaration, Findings findings) {
    for (Method method : declaration.layers()) {
      List<Mark> annotations = LayerView.annotations(method);
      if (annotations.isEmpty() || method.layer().isPresent() || method.role() == Role.LAYER) {
        continue;
      }
      boolean experts = method.mark("MoELayer").isPresent();
      if (!experts || method.role() != Role.MOE) {
        findings.add(
            Problem.WRONG_RETURN_TYPE,
            method.site(),
            method.signature(),
            method.returns(),
            experts ? "MoE" : "Layer");
      }
    }
  }

  static void noParameters(Declaration declaration, Findings findings) {
    for (Method method : declaration.layers()) {
      if (method.is(MethodTrait.PARAMETERS) && method.namesake().isEmpty()) {
        findings.add(Problem.PARAMETERS, method.site(), method.signature());
      }
    }
  }

  static void notInherited(Declaration declaration, Findings findings) {
    if (!declaration.isModel()) {
      return;
    }
    for (Method method : declaration.methods()) {
      if (method.is(MethodTrait.INHERITED) && method.is(MethodTrait.ABSTRACT)) {
        findings.add(
            Problem.INHERITED_METHOD,
            declaration.site(),
            declaration.name().nested(),
            method.signature(),
            method.from());
      }
    }
  }

  static void freeName(Declaration declaration, Findings findings) {
    for (Method method : declaration.layers()) {
      method
          .namesake()
          .ifPresent(
              type -> findings.add(Problem.NAME_TAKEN, method.site(), method.signature(), type));
    }
  }

  static void notHidden(Declaration declaration, Findings findings) {
    if (!declaration.isModel() && !declaration.isLayer()) {
      return;
    }
    for (Method method : declaration.methods()) {
      if (method.is(MethodTrait.HIDDEN)) {
        findings.add(
            Problem.NAME_TAKEN,
            method.is(MethodTrait.INHERITED) ? declaration.site() : method.site(),
            method.signature(),
            method.namesake().orElseThrow());
      }
    }
  }

  static void unlikeNames(Declaration declaration, Findings findings) {
    Map<String, Method> names = new HashMap<>();
    for (Method method : declaration.layers()) {
      Method other = names.putIfAbsent(method.name().toLowerCase(Locale.ROOT), method);
      if (other != null && !other.name().equals(method.name())) {
        findings.add(Problem.NAMES_ALIKE, method.site(), method.signature(), other.signature());
      }
    }
  }

  static void nothingBesideMoE(Declaration declaration, Findings findings) {
    if (!declaration.isLayer() || !declaration.is(Trait.EXTENDS_MOE)) {
      return;
    }
    for (Method method : declaration.methods()) {
      if (method.is(MethodTrait.ABSTRACT)
          && !method.is(MethodTrait.REDECLARES_RUNTIME)
          && LayerView.annotations(method).isEmpty()) {
        findings.add(
            Problem.EXTRA_METHOD, method.site(), method.signature(), declaration.name().nested());
      }
    }
  }
}
