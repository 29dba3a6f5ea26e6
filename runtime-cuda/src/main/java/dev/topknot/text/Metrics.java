package dev.topknot.text;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * How training went over some steps: one row of {@code metrics.csv}. What does not exist is NaN,
 * and empty in the file: the balance of a model without a gate, a held-out text that was not asked.
 *
 * @param step updates done
 * @param tokens tokens seen since the start of training
 * @param seconds time of the training steps since the start, without evaluating and saving
 * @param loss mean −ln p over the tokens of this row, with dropout and noise
 * @param trainPerplexity e to that loss
 * @param heldOutPerplexity perplexity on the held-out text, or as much of it as the trainer was
 *     told
 * @param importanceCv CV of the first gated layer's importance, summed over the tokens of this row
 * @param loadCv CV of its load
 * @param maxOverMeanLoad its largest load over the mean
 * @param wordsPerSecond tokens of this row over the time of its training steps
 * @param rate learning rate of the last step
 * @param gradientNorm mean over the steps of this row of the gradient's norm before clipping
 */
public record Metrics(
    long step,
    long tokens,
    double seconds,
    double loss,
    double trainPerplexity,
    double heldOutPerplexity,
    double importanceCv,
    double loadCv,
    double maxOverMeanLoad,
    double wordsPerSecond,
    double rate,
    double gradientNorm) {

  static final String HEADER =
      "step,tokens,seconds,loss,train_perplexity,heldout_perplexity,importance_cv,load_cv,"
          + "max_over_mean_load,words_per_second,learning_rate,gradient_norm";

  /** Whether the held-out text was asked at this row. */
  public boolean evaluated() {
    return !Double.isNaN(heldOutPerplexity);
  }

  String toCsv() {
    return step
        + ","
        + tokens
        + ","
        + Arrays.stream(
                new double[] {
                  seconds,
                  loss,
                  trainPerplexity,
                  heldOutPerplexity,
                  importanceCv,
                  loadCv,
                  maxOverMeanLoad,
                  wordsPerSecond,
                  rate,
                  gradientNorm
                })
            .mapToObj(value -> Double.isNaN(value) ? "" : String.format(Locale.ROOT, "%.7g", value))
            .collect(Collectors.joining(","));
  }

  static Metrics fromCsv(String line) {
    String[] cells = line.split(",", -1);
    double[] values = new double[12];
    if (cells.length != values.length) {
      throw new NumberFormatException("expected " + values.length + " values, got " + cells.length);
    }
    for (int i = 0; i < cells.length; i++) {
      values[i] = cells[i].isEmpty() ? Double.NaN : Double.parseDouble(cells[i]);
    }
    return new Metrics(
        Long.parseLong(cells[0]),
        Long.parseLong(cells[1]),
        values[2],
        values[3],
        values[4],
        values[5],
        values[6],
        values[7],
        values[8],
        values[9],
        values[10],
        values[11]);
  }
}
