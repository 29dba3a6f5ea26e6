package dev.topknot.text;

import dev.topknot.runtime.Batch;
import java.util.Iterator;
import java.util.NoSuchElementException;

/**
 * A text cut into batches for truncated back-propagation through time [S17, app. C].
 *
 * <p>The tokens are cut into {@code batch} contiguous sequences, whose lengths differ by at most
 * one, the longer ones first; each step takes the next {@code timesteps} tokens of every sequence.
 * So each token is predicted exactly once, and the valid ones of the last step are a prefix in
 * time-major order. A token's input is the token before it in the text, and {@link Vocabulary#END}
 * for the very first.
 *
 * <p>Steps are numbered from 0: {@link #from} goes on where an earlier pass stopped.
 */
public final class Batches implements Iterable<Batch> {
  private final Tokens tokens;
  private final int batch;
  private final int timesteps;
  private final long from;
  private final long to;

  Batches(Tokens tokens, int batch, int timesteps) {
    this(tokens, positive("batch", batch), positive("timesteps", timesteps), 0, -1);
  }

  private Batches(Tokens tokens, int batch, int timesteps, long from, long to) {
    this.tokens = tokens;
    this.batch = batch;
    this.timesteps = timesteps;
    this.from = from;
    this.to = to < 0 ? total(tokens.size(), batch, timesteps) : to;
  }

  private static int positive(String name, int value) {
    if (value < 1) {
      throw new IllegalArgumentException(name + ": expected at least 1, got " + value);
    }
    return value;
  }

  private static long total(long tokens, int batch, int timesteps) {
    long longest = tokens / batch + (tokens % batch > 0 ? 1 : 0);
    return longest / timesteps + (longest % timesteps > 0 ? 1 : 0);
  }

  /** Number of steps, those skipped by {@link #from} not counted. */
  public long steps() {
    return to - from;
  }

  /** Number of tokens that these steps predict. */
  public long tokens() {
    return tokensBefore(to) - tokensBefore(from);
  }

  /** The same batches without the first ones: from step {@code position} of this text on. */
  public Batches from(long position) {
    if (position < from || position > to) {
      throw new IllegalArgumentException(
          "position: expected " + from + " to " + to + ", got " + position);
    }
    return new Batches(tokens, batch, timesteps, position, to);
  }

  /** The first steps only, all of them if there are fewer. */
  public Batches first(long steps) {
    if (steps < 0) {
      throw new IllegalArgumentException("steps: expected at least 0, got " + steps);
    }
    return new Batches(tokens, batch, timesteps, from, from + Math.min(to - from, steps));
  }

  @Override
  public Iterator<Batch> iterator() {
    return new Iterator<>() {
      private long next = from;

      @Override
      public boolean hasNext() {
        return next < to;
      }

      @Override
      public Batch next() {
        if (next >= to) {
          throw new NoSuchElementException("the text ends after step " + (to - 1));
        }
        return batch(next++);
      }
    };
  }

  private Batch batch(long step) {
    int[] inputs = new int[batch * timesteps];
    int[] targets = new int[batch * timesteps];
    int valid = 0;
    for (int t = 0; t < timesteps; t++) {
      long position = step * timesteps + t;
      int rows = rows(position);
      for (int b = 0; b < rows; b++) {
        long index = start(b) + position;
        inputs[t * batch + b] = index == 0 ? Vocabulary.END : tokens.get(index - 1);
        targets[t * batch + b] = tokens.get(index);
      }
      valid += rows;
    }
    return new Batch(inputs, targets, valid);
  }

  /** How many sequences have a token at this position: all, the longer ones, or none. */
  private int rows(long position) {
    long shorter = tokens.size() / batch;
    return position < shorter ? batch : position == shorter ? (int) (tokens.size() % batch) : 0;
  }

  private long start(int sequence) {
    return sequence * (tokens.size() / batch) + Math.min(sequence, tokens.size() % batch);
  }

  private long tokensBefore(long step) {
    long position = step * timesteps;
    return Math.min(position * batch, tokens.size());
  }
}
