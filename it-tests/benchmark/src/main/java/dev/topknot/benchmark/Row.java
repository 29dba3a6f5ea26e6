package dev.topknot.benchmark;

import java.util.List;

/**
 * One measurement: a figure a turn for each side, turns of the same index beside each other in
 * time.
 *
 * @param workload its name
 * @param sizes its sizes
 * @param task what was timed
 * @param tokens tokens of one call
 * @param topknot median milliseconds of a call, for each of Topknot's turns
 * @param djl the same of DJL
 * @param tensors how many tensors were compared before, 0 if none
 * @param difference largest relative difference among them
 * @param others processors that other programs of the machine kept busy meanwhile, on average; NaN
 *     where the system does not say
 */
record Row(
    String workload,
    String sizes,
    Task task,
    int tokens,
    List<Double> topknot,
    List<Double> djl,
    int tensors,
    double difference,
    double others) {

  /** Milliseconds of Topknot. */
  Summary topknotSummary() {
    return summary(topknot);
  }

  /** Milliseconds of DJL. */
  Summary djlSummary() {
    return summary(djl);
  }

  /** How many times faster Topknot is, by the medians of all turns. */
  double ratio() {
    return djlSummary().median() / topknotSummary().median();
  }

  /** The same for each pair of turns. */
  Summary pairRatios() {
    double[] ratios = new double[topknot.size()];
    for (int i = 0; i < ratios.length; i++) {
      ratios[i] = djl.get(i) / topknot.get(i);
    }
    return Summary.of(ratios);
  }

  private static Summary summary(List<Double> turns) {
    return Summary.of(turns.stream().mapToDouble(Double::doubleValue).toArray());
  }
}
