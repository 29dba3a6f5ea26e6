package dev.topknot.processor.model;

import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import java.util.List;

/** A language model: its layers in the order they are applied. */
public record ModelSpec(
    SpecName name,
    boolean isPublic,
    int batch,
    int timesteps,
    Optimizer optimizer,
    Precision precision,
    List<Layer> layers)
    implements Spec {
  /** Copies the layers. */
  public ModelSpec {
    layers = List.copyOf(layers);
  }

  @Override
  public long tokens() {
    return (long) batch * timesteps;
  }

  @Override
  public ModelSpec with(Optimizer other, boolean recompute) {
    List<Layer> all =
        layers.stream().map(layer -> layer.with(layer.kind().with(recompute))).toList();
    return new ModelSpec(name, isPublic, batch, timesteps, other, precision, all);
  }

  /** A layer: the method that declares it, what it is and what is applied to its output. */
  public record Layer(String name, LayerKind kind, Modifiers modifiers) {
    private Layer with(LayerKind other) {
      return new Layer(name, other, modifiers);
    }
  }
}
