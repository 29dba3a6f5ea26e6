package dev.topknot.processor.model;

import dev.topknot.dsl.ActivationFunction;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/**
 * What one {@code @Expert} says.
 *
 * @param count how many experts are of this kind
 * @param hidden the widths of the hidden layers
 * @param shared whether every token visits these experts, without a gate
 */
public record ExpertKind(
    int count, List<Integer> hidden, ActivationFunction activation, boolean shared) {
  /** Copies the widths. */
  public ExpertKind {
    hidden = List.copyOf(hidden);
  }

  /**
   * How many experts are of a kind: as written, one if shared, else what the others leave.
   *
   * @param kinds all of the layer's {@code @Expert}s
   * @param experts those that the gate chooses from
   */
  public static long count(Mark kind, List<Mark> kinds, int experts) {
    OptionalInt written = kind.writtenInteger("count");
    if (written.isPresent()) {
      return written.getAsInt();
    }
    long others =
        kinds.stream()
            .filter(other -> !other.flag("shared"))
            .mapToLong(other -> other.writtenInteger("count").orElse(0))
            .sum();
    return kind.flag("shared") ? 1 : experts - others;
  }

  /** Whether it has more than one hidden layer. */
  public boolean deep() {
    return hidden.size() > 1;
  }

  /** The width of its only hidden layer, or of the last. */
  public int width() {
    return hidden.get(hidden.size() - 1);
  }

  /** The weights of one expert between vectors of so many elements. */
  public long weights(int width) {
    long weights = 0;
    int inputs = width;
    for (int outputs : hidden) {
      weights = Math.addExact(weights, (long) inputs * outputs);
      inputs = outputs;
    }
    weights = Math.addExact(weights, (long) inputs * width);
    // W3 beside W1
    return activation == ActivationFunction.SWIGLU
        ? Math.addExact(weights, (long) width * hidden.get(0))
        : weights;
  }

  /** Its widths in words: {@code 512 to 1024 to 512}. */
  public String widths(int width) {
    String between = hidden.stream().map(String::valueOf).collect(Collectors.joining(" to "));
    return "%d to %s to %d".formatted(width, between, width);
  }
}
