package dev.topknot.processor.check;

import dev.topknot.processor.check.LayerView.Kind;
import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.Site;
import java.util.List;
import java.util.OptionalInt;
import java.util.OptionalLong;

/** Whether the layers of a model fit together. */
final class ShapeRules {
  private ShapeRules() {}

  static void widthsMeet(Declaration declaration, Findings findings) {
    List<LayerView> layers = LayerView.in(declaration);
    for (LayerView layer : layers) {
      OptionalInt own = layer.ownWidth();
      if (layer.is(Kind.EXPERTS)
          && own.isPresent()
          && Sizes.valid(own.getAsInt())
          && layer.in().isPresent()
          && !own.equals(layer.in())) {
        findings.add(
            Problem.WIDTHS_DIFFER,
            site(layer.method(), "width"),
            layer.name(),
            own.getAsInt(),
            layers.get(layer.position() - 2).name(),
            layer.in().getAsInt());
      }
    }
  }

  static void residualWidths(Declaration declaration, Findings findings) {
    for (LayerView layer : LayerView.in(declaration)) {
      if (layer.in().isPresent() && layer.out().isPresent() && !layer.in().equals(layer.out())) {
        layer
            .method()
            .mark("Residual")
            .filter(mark -> !layer.is(Kind.EMBEDDING))
            .ifPresent(
                mark ->
                    findings.add(
                        Problem.RESIDUAL_WIDTHS,
                        mark.site(),
                        layer.name(),
                        layer.in().getAsInt(),
                        layer.out().getAsInt()));
      }
    }
  }

  static void projectionNarrows(Declaration declaration, Findings findings) {
    for (LayerView layer : LayerView.in(declaration)) {
      for (Mark mark : LayerView.annotations(layer.method())) {
        OptionalInt units = mark.integer("units");
        OptionalInt projection = mark.writtenInteger("projection");
        if (units.isPresent()
            && projection.isPresent()
            && Sizes.valid(units.getAsInt())
            && Sizes.valid(projection.getAsInt())
            && projection.getAsInt() >= units.getAsInt()) {
          findings.add(
              Problem.PROJECTION_NOT_NARROWER,
              mark.site("projection"),
              projection.getAsInt(),
              units.getAsInt());
        }
      }
    }
  }

  static void fewerSamplesThanTokens(Declaration declaration, Findings findings) {
    for (LayerView layer : LayerView.in(declaration)) {
      for (Mark mark : LayerView.annotations(layer.method())) {
        OptionalInt vocabulary = mark.integer("vocabulary");
        OptionalInt samples = mark.writtenInteger("samples");
        if (vocabulary.isPresent()
            && samples.isPresent()
            && Sizes.valid(vocabulary.getAsInt())
            && Sizes.valid(samples.getAsInt())
            && samples.getAsInt() >= vocabulary.getAsInt()) {
          findings.add(
              Problem.SAMPLES_NOT_FEWER,
              mark.site("samples"),
              samples.getAsInt(),
              vocabulary.getAsInt());
        }
      }
    }
  }

  static void tokensOfTheModel(Declaration declaration, Findings findings) {
    OptionalLong tokens = Sizes.tokens(declaration);
    for (LayerView layer : LayerView.in(declaration)) {
      OptionalInt own = layer.ownTokens();
      if (layer.is(Kind.EXPERTS)
          && tokens.isPresent()
          && own.isPresent()
          && Sizes.valid(own.getAsInt())
          && own.getAsInt() != tokens.getAsLong()) {
        findings.add(
            Problem.TOKENS_DIFFER,
            site(layer.method(), "tokens"),
            layer.name(),
            own.getAsInt(),
            Sizes.ofModel(declaration, "batch").orElse(0),
            Sizes.ofModel(declaration, "timesteps").orElse(0),
            tokens.getAsLong(),
            layer.method().layer().isPresent() ? "make them equal" : "leave tokens out");
      }
    }
  }

  /** The attribute where the method itself is annotated, else the method. */
  private static Site site(Method method, String attribute) {
    return method.mark("MoELayer").map(mark -> mark.site(attribute)).orElse(method.site());
  }
}
