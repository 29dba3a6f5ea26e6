package dev.topknot.processor.check;

import dev.topknot.processor.model.Declaration;
import java.util.OptionalInt;
import java.util.OptionalLong;

/** Sizes that are known, and what is reasonable. */
final class Sizes {
  /**
   * The largest size of anything: up to 2^24, 32-bit floats count exactly, as importance, load and
   * the loss do with tokens.
   */
  static final int LARGEST = 1 << 24;

  private Sizes() {}

  /** Whether a size is from 1 to the largest. */
  static boolean valid(long size) {
    return size >= 1 && size <= LARGEST;
  }

  /** The tokens of a model's batch, where both factors are valid. */
  static OptionalLong tokens(Declaration model) {
    OptionalInt batch = ofModel(model, "batch");
    OptionalInt timesteps = ofModel(model, "timesteps");
    return batch.isPresent()
            && timesteps.isPresent()
            && valid(batch.getAsInt())
            && valid(timesteps.getAsInt())
        ? OptionalLong.of((long) batch.getAsInt() * timesteps.getAsInt())
        : OptionalLong.empty();
  }

  /** An attribute of {@code @MoEModel}. */
  static OptionalInt ofModel(Declaration model, String attribute) {
    return model.mark("MoEModel").map(it -> it.integer(attribute)).orElse(OptionalInt.empty());
  }

  static OptionalLong asLong(OptionalInt value) {
    return value.isPresent() ? OptionalLong.of(value.getAsInt()) : OptionalLong.empty();
  }
}
