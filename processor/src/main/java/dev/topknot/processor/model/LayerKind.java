package dev.topknot.processor.model;

import dev.topknot.dsl.ActivationFunction;
import java.util.OptionalInt;

/** What a layer of a model computes. */
public sealed interface LayerKind {
  /** The same, its experts' hidden layers computed again or kept. */
  default LayerKind with(boolean recompute) {
    return this;
  }

  /** Token ids to rows of a [vocabulary, width] table. */
  record Embedding(int vocabulary, int width) implements LayerKind {}

  /** A long short-term memory of {@code units} cells; its output may be projected to a width. */
  record Lstm(int units, OptionalInt projection) implements LayerKind {
    /** Without a projection. */
    public Lstm(int units) {
      this(units, OptionalInt.empty());
    }

    /** The width of the output. */
    public int outputs() {
      return projection.orElse(units);
    }
  }

  /** A fully connected layer with bias. */
  record Dense(int units, ActivationFunction activation) implements LayerKind {}

  /** A Mixture-of-Experts layer. */
  record Experts(MoE moe) implements LayerKind {
    @Override
    public Experts with(boolean recompute) {
      return new Experts(moe.withRecompute(recompute));
    }
  }

  /** The distribution over the next token; training may take it over samples only. */
  record Softmax(int vocabulary, OptionalInt samples) implements LayerKind {
    /** All of it in training too. */
    public Softmax(int vocabulary) {
      this(vocabulary, OptionalInt.empty());
    }
  }
}
