package dev.topknot.processor.check;

import dev.topknot.processor.check.LayerView.Kind;
import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Mark;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/** Which layers a model needs, and in which order. */
final class OrderRules {
  private OrderRules() {}

  static void someLayers(Declaration declaration, Findings findings) {
    if (declaration.isModel() && declaration.layers().isEmpty()) {
      findings.add(Problem.NO_LAYERS, declaration.site(), declaration.name().nested());
    }
  }

  static void someEmbedding(Declaration declaration, Findings findings) {
    if (lacks(declaration, Kind.EMBEDDING)) {
      findings.add(Problem.NO_EMBEDDING, declaration.site(), declaration.name().nested());
    }
  }

  static void someSoftmax(Declaration declaration, Findings findings) {
    if (lacks(declaration, Kind.SOFTMAX)) {
      Optional<Mark> embedding = first(declaration, Kind.EMBEDDING).map(OrderRules::mark);
      OptionalInt vocabulary =
          embedding.map(mark -> mark.integer("vocabulary")).orElse(OptionalInt.empty());
      findings.add(
          Problem.NO_SOFTMAX,
          declaration.site(),
          declaration.name().nested(),
          vocabulary.isPresent() ? vocabulary.getAsInt() : "...");
    }
  }

  /** Whether a model surely lacks a kind of layer: where one is in doubt, that is reported. */
  private static boolean lacks(Declaration declaration, Kind kind) {
    List<LayerView> layers = LayerView.in(declaration);
    return !layers.isEmpty()
        && layers.stream().allMatch(layer -> layer.kind().isPresent() && !layer.is(kind));
  }

  static void embeddingFirst(Declaration declaration, Findings findings) {
    for (LayerView layer : LayerView.in(declaration)) {
      if (layer.is(Kind.EMBEDDING) && layer.position() > 1) {
        boolean another = first(declaration, Kind.EMBEDDING).orElse(layer).position() == 1;
        findings.add(
            Problem.EMBEDDING_NOT_FIRST,
            mark(layer).site(),
            layer.name(),
            layer.position(),
            another ? "the model has one already; remove it" : "declare it first");
      }
    }
  }

  static void softmaxLast(Declaration declaration, Findings findings) {
    List<LayerView> layers = LayerView.in(declaration);
    for (LayerView layer : layers) {
      if (layer.is(Kind.SOFTMAX) && layer.position() < layers.size()) {
        boolean another = layers.get(layers.size() - 1).is(Kind.SOFTMAX);
        findings.add(
            Problem.SOFTMAX_NOT_LAST,
            mark(layer).site(),
            layer.name(),
            layer.position(),
            layers.size(),
            another ? "the model has another at its end; remove it" : "declare it last");
      }
    }
  }

  static void oneVocabulary(Declaration declaration, Findings findings) {
    Optional<LayerView> embedding = first(declaration, Kind.EMBEDDING);
    Optional<LayerView> softmax = first(declaration, Kind.SOFTMAX);
    if (embedding.isPresent() && softmax.isPresent()) {
      OptionalInt in = mark(embedding.get()).integer("vocabulary");
      OptionalInt out = mark(softmax.get()).integer("vocabulary");
      if (in.isPresent() && out.isPresent() && !in.equals(out)) {
        findings.add(
            Problem.VOCABULARIES_DIFFER,
            mark(softmax.get()).site("vocabulary"),
            out.getAsInt(),
            embedding.get().name(),
            in.getAsInt());
      }
    }
  }

  private static Optional<LayerView> first(Declaration declaration, Kind kind) {
    return LayerView.in(declaration).stream().filter(layer -> layer.is(kind)).findFirst();
  }

  private static Mark mark(LayerView layer) {
    return LayerView.annotations(layer.method()).get(0);
  }
}
