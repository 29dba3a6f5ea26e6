package dev.topknot.processor.model;

import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;

/** An annotated interface that is compiled: a layer of its own or a whole model. */
public sealed interface Spec permits LayerSpec, ModelSpec {
  /** The annotated interface. */
  SpecName name();

  /** Whether the interface, and every type around it, is public. */
  boolean isPublic();

  /** The optimizer whose state is planned. */
  Optimizer optimizer();

  /** The arithmetic of the large products. */
  Precision precision();

  /** The most tokens in one call. */
  long tokens();

  /** The same with other choices that memory depends on: the optimizer, and {@code recompute}. */
  Spec with(Optimizer optimizer, boolean recompute);
}
