package dev.topknot.processor.check;

import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Trait;
import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.Site;
import java.util.Optional;

/** What kind of type can be compiled. */
final class TypeRules {
  private TypeRules() {}

  static void interfaceOnly(Declaration declaration, Findings findings) {
    compiled(declaration)
        .filter(mark -> !declaration.kind().equals("interface"))
        .ifPresent(
            mark ->
                findings.add(
                    Problem.NOT_AN_INTERFACE,
                    mark.site(),
                    declaration.name().nested(),
                    withArticle(declaration.kind()),
                    mark.name().equals("MoEModel") ? "LanguageModel" : "MoE"));
  }

  private static String withArticle(String noun) {
    return ("aeiou".indexOf(noun.charAt(0)) < 0 ? "a " : "an ") + noun;
  }

  static void visible(Declaration declaration, Findings findings) {
    trait(declaration, Trait.PRIVATE, Problem.PRIVATE_TYPE, findings);
  }

  static void notGeneric(Declaration declaration, Findings findings) {
    trait(declaration, Trait.GENERIC, Problem.GENERIC_TYPE, findings);
  }

  static void notLocal(Declaration declaration, Findings findings) {
    trait(declaration, Trait.LOCAL, Problem.LOCAL_TYPE, findings);
  }

  static void notSealed(Declaration declaration, Findings findings) {
    if (declaration.isLayer() || declaration.isModel()) {
      trait(declaration, Trait.SEALED, Problem.SEALED_TYPE, findings);
    }
  }

  static void extendsMoE(Declaration declaration, Findings findings) {
    if (declaration.isLayer() && !declaration.is(Trait.EXTENDS_MOE)) {
      findings.add(Problem.NOT_A_MOE, declaration.site(), declaration.name().nested());
    }
  }

  static void extendsLanguageModel(Declaration declaration, Findings findings) {
    if (declaration.isModel() && !declaration.is(Trait.EXTENDS_LANGUAGE_MODEL)) {
      findings.add(Problem.NOT_A_LANGUAGE_MODEL, declaration.site(), declaration.name().nested());
    }
  }

  static void layerOrModel(Declaration declaration, Findings findings) {
    if (declaration.mark("MoEModel").isPresent()) {
      declaration
          .mark("MoELayer")
          .ifPresent(
              mark ->
                  findings.add(Problem.LAYER_AND_MODEL, mark.site(), declaration.name().nested()));
    }
  }

  private static void trait(
      Declaration declaration, Trait trait, Problem problem, Findings findings) {
    boolean concerned = compiled(declaration).isPresent() || trait == Trait.LOCAL;
    if (concerned && declaration.is(trait)) {
      Site site = declaration.site();
      findings.add(problem, site, declaration.name().nested());
    }
  }

  /** The annotation that asks for the type to be compiled. */
  private static Optional<Mark> compiled(Declaration declaration) {
    return declaration.mark("MoEModel").or(() -> declaration.mark("MoELayer"));
  }
}
