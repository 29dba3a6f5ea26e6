package dev.topknot.it.reference;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

/** Random inputs for tests, from a seed. */
public final class Draw {
  private final Random random;

  /** A sequence of draws that depends on the seed only. */
  public Draw(long seed) {
    random = new Random(seed);
  }

  /** Independent normal values of the given standard deviation. */
  public Matrix normal(int rows, int columns, double deviation) {
    return Matrix.zeros(rows, columns).map(zero -> deviation * random.nextGaussian());
  }

  /** Weights [out, in] that keep the scale of their input. */
  public Matrix weights(int out, int in) {
    return normal(out, in, 1 / Math.sqrt(in));
  }

  /** Ones with zeros among them at the given rate. */
  public Matrix keep(int rows, int columns, double dropout) {
    return Matrix.zeros(rows, columns).map(zero -> random.nextDouble() < dropout ? 0 : 1);
  }

  /** Numbers below {@code bound}. */
  public int[] ids(int count, int bound) {
    return random.ints(count, 0, bound).toArray();
  }

  /** Experts of one kind, each of its own weights. */
  public List<Expert> experts(int count, String activation, int width, int... hidden) {
    return IntStream.range(0, count).mapToObj(i -> expert(activation, width, hidden)).toList();
  }

  private Expert expert(String activation, int width, int... hidden) {
    List<Matrix> weights = new ArrayList<>();
    int in = width;
    for (int units : hidden) {
      weights.add(weights(units, in));
      in = units;
    }
    weights.add(weights(width, in));
    if (activation.equals("SWIGLU")) {
      weights.add(weights(hidden[0], width));
    }
    return Expert.of(activation, weights);
  }
}
