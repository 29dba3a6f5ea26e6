package dev.topknot.benchmark;

import java.util.List;

/**
 * Topknot beside one peer: a figure a turn for each, turns of the same index beside each other in
 * time.
 *
 * @param peer who it is
 * @param way how the peer did it, where it had a choice
 * @param topknot median milliseconds of a call, for each of Topknot's turns
 * @param other the same of the peer
 * @param tensors how many tensors were compared before
 * @param difference largest relative difference among them
 * @param topknotPeak the most bytes that Topknot's process had in memory, 0 if unknown
 * @param otherPeak the same of the peer
 * @param busy processors that other programs of the machine kept busy meanwhile, on average; NaN
 *     where the system does not say
 */
record Comparison(
    Side peer,
    String way,
    List<Double> topknot,
    List<Double> other,
    int tensors,
    double difference,
    long topknotPeak,
    long otherPeak,
    double busy) {

  /** Milliseconds of the peer. */
  Summary otherSummary() {
    return Summary.of(other);
  }

  /** Topknot's time as a part of the peer's, by the medians of all turns. */
  double ratio() {
    return Summary.of(topknot).median() / otherSummary().median();
  }

  /** The same for each pair of turns. */
  Summary pairRatios() {
    double[] ratios = new double[topknot.size()];
    for (int i = 0; i < ratios.length; i++) {
      ratios[i] = topknot.get(i) / other.get(i);
    }
    return Summary.of(ratios);
  }
}
