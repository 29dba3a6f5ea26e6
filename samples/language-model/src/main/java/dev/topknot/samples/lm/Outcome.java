package dev.topknot.samples.lm;

import dev.topknot.text.TrainingResult;
import java.nio.file.Path;

/**
 * What came of one run.
 *
 * @param directory where it is kept
 * @param settings how it went
 * @param parameters number of weights of the model, embedding and softmax included
 * @param device what it ran on
 * @param unigramPerplexity perplexity of word frequencies alone on the same held-out text
 * @param result figures
 */
record Outcome(
    Path directory,
    Settings settings,
    long parameters,
    String device,
    double unigramPerplexity,
    TrainingResult result) {

  double heldOutPerplexity() {
    return result.heldOut().map(evaluation -> evaluation.perplexity()).orElse(Double.NaN);
  }

  double wordsPerSecond() {
    return result.tokens() / result.seconds();
  }
}
