package dev.topknot.samples.lm;

import dev.topknot.runtime.Evaluation;
import dev.topknot.text.Corpus;
import dev.topknot.text.KneserNey;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "ngram",
    description =
        "Measures an n-gram model, interpolated modified Kneser-Ney, on the held-out text: what a"
            + " model has to beat.")
final class NgramCommand implements Callable<Integer> {
  @Mixin private TextOptions text;

  @Option(
      names = "--order",
      paramLabel = "N",
      defaultValue = "5",
      description = "Words of the longest n-grams. Default: ${DEFAULT-VALUE}.")
  private int order;

  @Option(
      names = "--vocabulary",
      paramLabel = "N",
      description = "Entries of the vocabulary. Default: 10,000, as the models that train has.")
  private int vocabulary = TopknotNewsModel.VOCABULARY;

  @Spec private CommandSpec spec;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    Corpus corpus = text.over(Text.BUNDLED).read(vocabulary, out);
    long start = System.nanoTime();
    KneserNey model = KneserNey.of(corpus, order);
    out.printf(
        Locale.ROOT,
        "Model: %d-gram, interpolated modified Kneser-Ney, %,d n-grams, learned in %.1f s%n",
        order,
        IntStream.rangeClosed(1, order).mapToLong(model::ngrams).sum(),
        (System.nanoTime() - start) / 1e9);
    Evaluation evaluation = model.evaluate(corpus.heldOut());
    out.printf(
        Locale.ROOT,
        "Held-out perplexity %.2f on %,d tokens; the unigram model's is %.1f%n",
        evaluation.perplexity(),
        evaluation.tokens(),
        corpus.unigramPerplexity());
    out.flush();
    return 0;
  }
}
