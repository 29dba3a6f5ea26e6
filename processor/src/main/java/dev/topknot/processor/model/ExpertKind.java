package dev.topknot.processor.model;

import dev.topknot.dsl.ActivationFunction;
import java.util.List;

/** What one {@code @Expert} says. */
public record ExpertKind(List<Integer> hidden, ActivationFunction activation) {
  /** Copies the widths. */
  public ExpertKind {
    hidden = List.copyOf(hidden);
  }

  /** The width of the one hidden layer that checked experts have. */
  public int width() {
    return hidden.get(0);
  }
}
