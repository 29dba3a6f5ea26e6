package dev.topknot.benchmark;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * One task of one workload.
 *
 * @param workload its name
 * @param sizes its sizes
 * @param task what was timed
 * @param tokens tokens of one call
 * @param planned bytes that Topknot's processor planned for an instance: weights, gradients and
 *     activations
 * @param comparisons with each peer that can do it, at least one
 */
record Row(
    String workload,
    String sizes,
    Task task,
    int tokens,
    long planned,
    List<Comparison> comparisons) {

  /** Milliseconds of Topknot, in the turns of all comparisons. */
  Summary topknotSummary() {
    List<Double> turns = new ArrayList<>();
    comparisons.forEach(comparison -> turns.addAll(comparison.topknot()));
    return Summary.of(turns);
  }

  /** The most that Topknot's process had in memory. */
  long topknotPeak() {
    return comparisons.stream().mapToLong(Comparison::topknotPeak).max().orElse(0);
  }

  /** The comparison with a peer, if it can do the task. */
  Optional<Comparison> with(Side peer) {
    return comparisons.stream().filter(comparison -> comparison.peer() == peer).findFirst();
  }

  /** The comparison with the peer that comes closest, or is ahead. */
  Comparison best() {
    return comparisons.stream().max(Comparator.comparingDouble(Comparison::ratio)).orElseThrow();
  }

  /** The largest difference of results. */
  double difference() {
    return comparisons.stream().mapToDouble(Comparison::difference).max().orElse(0);
  }

  /** Processors that other programs kept busy, where it was worst. */
  double busy() {
    return comparisons.stream()
        .mapToDouble(Comparison::busy)
        .filter(busy -> !Double.isNaN(busy))
        .max()
        .orElse(Double.NaN);
  }
}
