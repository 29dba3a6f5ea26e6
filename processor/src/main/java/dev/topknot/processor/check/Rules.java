package dev.topknot.processor.check;

import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Report;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Declaration.Trait;
import java.util.List;

/** All the rules that look at one declaration. */
public final class Rules {
  private static final List<Rule> ALL =
      List.of(
          TypeRules::interfaceOnly,
          TypeRules::visible,
          TypeRules::notGeneric,
          TypeRules::notLocal,
          TypeRules::notSealed,
          TypeRules::extendsMoE,
          TypeRules::extendsLanguageModel,
          TypeRules::layerOrModel,
          ExpertRules::besideALayer,
          ExpertRules::present,
          ExpertRules::someRouted,
          ExpertRules::countsPresent,
          ExpertRules::countsAddUp,
          ExpertRules::hiddenNotEmpty,
          ExpertRules::swigluOfOneLayer,
          GateRules::kWithinExperts,
          GateRules::kPositive,
          GateRules::lossWeights,
          GateRules::noiseFloor,
          GateRules::denseSoftmax,
          GateRules::evenExperts,
          GateRules::thresholds,
          GateRules::top1,
          GateRules::effectOfLosses,
          GateRules::effectOfBalanced,
          GateRules::effectOfNoiseFloor,
          GateRules::effectWithinModel,
          HierarchyRules::besideALayer,
          HierarchyRules::groups,
          HierarchyRules::kWithinLevels,
          HierarchyRules::noisyTopK,
          SizeRules::positive,
          SizeRules::notTooLarge,
          SizeRules::present,
          SizeRules::productsOfLayers,
          SizeRules::productsOfModels,
          SupportRules::swiglu,
          OrderRules::someLayers,
          OrderRules::someEmbedding,
          OrderRules::embeddingFirst,
          OrderRules::someSoftmax,
          OrderRules::softmaxLast,
          OrderRules::oneVocabulary,
          ShapeRules::widthsMeet,
          ShapeRules::residualWidths,
          ShapeRules::projectionNarrows,
          ShapeRules::fewerSamplesThanTokens,
          ShapeRules::tokensOfTheModel,
          ModifierRules::residualOnEmbedding,
          ModifierRules::notOnSoftmax,
          ModifierRules::onLayersOnly,
          ModifierRules::dropoutRate,
          MethodRules::layersInModelsOnly,
          MethodRules::oneLayer,
          MethodRules::typeOrAnnotation,
          MethodRules::compiledType,
          MethodRules::annotated,
          MethodRules::annotatedType,
          MethodRules::returnType,
          MethodRules::noParameters,
          MethodRules::notInherited,
          MethodRules::freeName,
          MethodRules::notHidden,
          MethodRules::unlikeNames,
          MethodRules::nothingBesideMoE);

  private Rules() {}

  /**
   * Applies every rule to a declaration, and those about layer types to the ones that its methods
   * return and that were compiled elsewhere; those of this compilation are checked by themselves.
   */
  public static void check(Declaration declaration, Report report) {
    apply(declaration, report);
    for (Method method : declaration.layers()) {
      method
          .layer()
          .filter(layer -> !layer.is(Trait.SOURCE))
          .ifPresent(layer -> apply(layer, report.usedAt(method.site(), layer.name().qualified())));
    }
  }

  private static void apply(Declaration declaration, Findings findings) {
    ALL.forEach(rule -> rule.check(declaration, findings));
  }
}
