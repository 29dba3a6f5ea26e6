package dev.topknot.processor.read;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Declaration.Trait;
import dev.topknot.processor.model.ExpertKind;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.LayerSpec;
import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.MoE;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Modifiers;
import dev.topknot.processor.model.Spec;
import dev.topknot.processor.model.SpecName;
import java.util.List;
import java.util.Optional;

/** From a declaration in which no rule found an error to the spec it says. */
public final class SpecReader {
  private SpecReader() {}

  /**
   * The spec of a layer or a model.
   *
   * @throws java.util.NoSuchElementException if a rule should have found an error
   */
  public static Spec read(Declaration declaration) {
    return declaration.isModel() ? model(declaration) : layer(declaration);
  }

  private static LayerSpec layer(Declaration declaration) {
    Mark mark = declaration.mark("MoELayer").orElseThrow();
    return new LayerSpec(
        declaration.name(),
        declaration.is(Trait.PUBLIC),
        moe(Optional.of(declaration.name()), declaration.marks()),
        integer(mark, "width"),
        integer(mark, "tokens"),
        mark.constant("optimizer", Optimizer.class).orElseThrow(),
        mark.constant("precision", Precision.class).orElseThrow());
  }

  private static ModelSpec model(Declaration declaration) {
    Mark mark = declaration.mark("MoEModel").orElseThrow();
    return new ModelSpec(
        declaration.name(),
        declaration.is(Trait.PUBLIC),
        integer(mark, "batch"),
        integer(mark, "timesteps"),
        mark.constant("optimizer", Optimizer.class).orElseThrow(),
        mark.constant("precision", Precision.class).orElseThrow(),
        declaration.layers().stream().map(SpecReader::layer).toList());
  }

  private static ModelSpec.Layer layer(Method method) {
    return new ModelSpec.Layer(method.name(), kind(method), modifiers(method));
  }

  private static LayerKind kind(Method method) {
    if (method.layer().isPresent()) {
      Declaration type = method.layer().get();
      return new LayerKind.Experts(moe(Optional.of(type.name()), type.marks()));
    }
    for (Mark mark : method.marks()) {
      Optional<LayerKind> kind = kind(mark);
      if (kind.isPresent()) {
        return kind.get();
      }
    }
    return new LayerKind.Experts(moe(Optional.empty(), method.marks()));
  }

  private static Optional<LayerKind> kind(Mark mark) {
    LayerKind kind =
        switch (mark.name()) {
          case "Embedding" ->
              new LayerKind.Embedding(integer(mark, "vocabulary"), integer(mark, "width"));
          case "Lstm" ->
              new LayerKind.Lstm(integer(mark, "units"), mark.writtenInteger("projection"));
          case "Dense" ->
              new LayerKind.Dense(
                  integer(mark, "units"),
                  mark.constant("activation", ActivationFunction.class).orElseThrow());
          case "Softmax" ->
              new LayerKind.Softmax(integer(mark, "vocabulary"), mark.writtenInteger("samples"));
          default -> null;
        };
    return Optional.ofNullable(kind);
  }

  private static MoE moe(Optional<SpecName> type, List<Mark> marks) {
    Mark mark = mark(marks, "MoELayer").orElseThrow();
    Optional<MoE.Hierarchy> hierarchy =
        mark(marks, "Hierarchy")
            .map(it -> new MoE.Hierarchy(integer(it, "groups"), integer(it, "k")));
    int experts = integer(mark, "experts");
    return new MoE(
        type,
        experts,
        integer(mark, "k") * hierarchy.map(MoE.Hierarchy::k).orElse(1),
        mark.writtenInteger("width"),
        mark.writtenInteger("tokens"),
        mark.constant("gating", Gating.class).orElseThrow(),
        mark.number("importanceLoss").orElseThrow(),
        mark.number("loadLoss").orElseThrow(),
        mark.number("noiseFloor").orElseThrow(),
        mark.flag("recompute"),
        new MoE.Thresholds(
            mark.number("threshold").orElseThrow(),
            mark.number("thresholdLoss").orElseThrow(),
            mark.writtenInteger("evaluationK").orElse(experts)),
        kinds(experts, marks),
        hierarchy);
  }

  private static Optional<Mark> mark(List<Mark> marks, String annotation) {
    return marks.stream().filter(it -> it.name().equals(annotation)).findFirst();
  }

  private static List<ExpertKind> kinds(int experts, List<Mark> marks) {
    List<Mark> kinds = marks.stream().filter(it -> it.name().equals("Expert")).toList();
    return kinds.stream()
        .map(
            it ->
                new ExpertKind(
                    Math.toIntExact(ExpertKind.count(it, kinds, experts)),
                    it.integers("hidden"),
                    it.constant("activation", ActivationFunction.class).orElseThrow(),
                    it.flag("shared")))
        .toList();
  }

  private static Modifiers modifiers(Method method) {
    return new Modifiers(
        method
            .mark("Activation")
            .map(mark -> mark.constant("value", ActivationFunction.class).orElseThrow())
            .orElse(ActivationFunction.IDENTITY),
        method.mark("Dropout").map(mark -> mark.number("value").orElseThrow()).orElse(0.0),
        method.mark("Residual").isPresent());
  }

  private static int integer(Mark mark, String attribute) {
    return mark.integer(attribute).orElseThrow();
  }
}
