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

  /** A layer: the method that declares it, what it is and what is applied to its output. */
  public record Layer(String name, LayerKind kind, Modifiers modifiers) {}
}
