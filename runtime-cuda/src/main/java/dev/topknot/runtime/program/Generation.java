package dev.topknot.runtime.program;

import dev.topknot.runtime.NonFiniteException;
import java.util.NoSuchElementException;
import java.util.PrimitiveIterator;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;

/** One call of generate: has read its prompt, and goes on as its stream is consumed. */
final class Generation {
  private final Instance instance;
  private final ModelExecutor executor;
  private final Sampler sampler;
  private final float[] probabilities;
  private final long step;

  Generation(
      Instance instance,
      ModelExecutor executor,
      Sampler sampler,
      int[] prompt,
      int vocabulary,
      long step) {
    this.instance = instance;
    this.executor = executor;
    this.sampler = sampler;
    this.probabilities = new float[vocabulary];
    this.step = step;
    executor.startGeneration();
    for (int token : prompt) {
      read(token);
    }
  }

  /** So many tokens, as long as {@code latest} is this generation. */
  IntStream stream(int count, Supplier<Generation> latest) {
    PrimitiveIterator.OfInt tokens =
        new PrimitiveIterator.OfInt() {
          private int left = count;

          @Override
          public boolean hasNext() {
            return left > 0;
          }

          @Override
          public int nextInt() {
            if (left == 0) {
              throw new NoSuchElementException();
            }
            return instance.inside(
                () -> {
                  if (latest.get() != Generation.this) {
                    throw new IllegalStateException(
                        "generate was called again: only its latest stream can be consumed");
                  }
                  left--;
                  return draw(left > 0);
                });
          }
        };
    int characteristics = Spliterator.ORDERED | Spliterator.NONNULL;
    return StreamSupport.intStream(Spliterators.spliterator(tokens, count, characteristics), false);
  }

  private int draw(boolean more) {
    int token = sampler.next(probabilities);
    if (more) {
      read(token);
    }
    return token;
  }

  private void read(int token) {
    executor.next(token, probabilities);
    for (float p : probabilities) {
      if (!Float.isFinite(p)) {
        throw new NonFiniteException("a probability", p, step, "the probabilities");
      }
    }
  }
}
