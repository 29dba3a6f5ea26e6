package dev.topknot.processor.check;

import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Report;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Declaration.Trait;

/** All the rules that look at one declaration. */
public final class Rules {
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

  /** As calls: to link a table of references takes as long as all the rules. */
  private static void apply(Declaration declaration, Findings findings) {
    TypeRules.interfaceOnly(declaration, findings);
    TypeRules.visible(declaration, findings);
    TypeRules.notGeneric(declaration, findings);
    TypeRules.notLocal(declaration, findings);
    TypeRules.notSealed(declaration, findings);
    TypeRules.extendsMoE(declaration, findings);
    TypeRules.extendsLanguageModel(declaration, findings);
    TypeRules.layerOrModel(declaration, findings);
    ExpertRules.besideALayer(declaration, findings);
    ExpertRules.present(declaration, findings);
    ExpertRules.someRouted(declaration, findings);
    ExpertRules.countsPresent(declaration, findings);
    ExpertRules.countsAddUp(declaration, findings);
    ExpertRules.hiddenNotEmpty(declaration, findings);
    ExpertRules.swigluOfOneLayer(declaration, findings);
    GateRules.kWithinExperts(declaration, findings);
    GateRules.kPositive(declaration, findings);
    GateRules.lossWeights(declaration, findings);
    GateRules.noiseFloor(declaration, findings);
    GateRules.denseSoftmax(declaration, findings);
    GateRules.evenExperts(declaration, findings);
    GateRules.thresholds(declaration, findings);
    GateRules.top1(declaration, findings);
    GateRules.effectOfLosses(declaration, findings);
    GateRules.effectOfBalanced(declaration, findings);
    GateRules.effectOfNoiseFloor(declaration, findings);
    GateRules.effectWithinModel(declaration, findings);
    HierarchyRules.besideALayer(declaration, findings);
    HierarchyRules.groups(declaration, findings);
    HierarchyRules.kWithinLevels(declaration, findings);
    HierarchyRules.noisyTopK(declaration, findings);
    SizeRules.positive(declaration, findings);
    SizeRules.notTooLarge(declaration, findings);
    SizeRules.present(declaration, findings);
    SizeRules.productsOfLayers(declaration, findings);
    SizeRules.productsOfModels(declaration, findings);
    SupportRules.swiglu(declaration, findings);
    OrderRules.someLayers(declaration, findings);
    OrderRules.someEmbedding(declaration, findings);
    OrderRules.embeddingFirst(declaration, findings);
    OrderRules.someSoftmax(declaration, findings);
    OrderRules.softmaxLast(declaration, findings);
    OrderRules.oneVocabulary(declaration, findings);
    ShapeRules.widthsMeet(declaration, findings);
    ShapeRules.residualWidths(declaration, findings);
    ShapeRules.projectionNarrows(declaration, findings);
    ShapeRules.fewerSamplesThanTokens(declaration, findings);
    ShapeRules.tokensOfTheModel(declaration, findings);
    ModifierRules.residualOnEmbedding(declaration, findings);
    ModifierRules.notOnSoftmax(declaration, findings);
    ModifierRules.onLayersOnly(declaration, findings);
    ModifierRules.dropoutRate(declaration, findings);
    MethodRules.layersInModelsOnly(declaration, findings);
    MethodRules.oneLayer(declaration, findings);
    MethodRules.typeOrAnnotation(declaration, findings);
    MethodRules.compiledType(declaration, findings);
    MethodRules.annotated(declaration, findings);
    MethodRules.annotatedType(declaration, findings);
    MethodRules.returnType(declaration, findings);
    MethodRules.noParameters(declaration, findings);
    MethodRules.notInherited(declaration, findings);
    MethodRules.freeName(declaration, findings);
    MethodRules.notHidden(declaration, findings);
    MethodRules.unlikeNames(declaration, findings);
    MethodRules.nothingBesideMoE(declaration, findings);
  }
}
