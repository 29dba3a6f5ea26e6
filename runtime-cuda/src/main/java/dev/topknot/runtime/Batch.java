package dev.topknot.runtime;

import java.util.Objects;

/**
 * Some tokens of several texts beside each other, time-major: entry {@code t · batch + b} is token
 * t of text b. The arrays are not copied.
 *
 * @param inputs token ids to read
 * @param targets token ids to predict, each the one that follows the input
 * @param valid how many leading entries count; the rest touch nothing
 */
@SuppressWarnings("ArrayRecordComponent") // copying them in every step would buy nothing
public record Batch(int[] inputs, int[] targets, int valid) {

  /** Checks that the arrays match and that at least one entry counts. */
  public Batch {
    Objects.requireNonNull(inputs, "inputs");
    Objects.requireNonNull(targets, "targets");
    if (inputs.length != targets.length) {
      throw new IllegalArgumentException(
          "expected as many targets as inputs, but got "
              + targets.length
              + " targets and "
              + inputs.length
              + " inputs");
    }
    if (valid < 1 || valid > inputs.length) {
      throw new IllegalArgumentException(
          "valid must be in 1.." + inputs.length + ", but is " + valid);
    }
  }

  /** A batch of which every token counts. */
  public static Batch full(int[] inputs, int[] targets) {
    return new Batch(inputs, targets, inputs.length);
  }
}
