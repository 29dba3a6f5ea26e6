package dev.topknot.samples.lm;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Evaluation;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.text.Corpus;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

@Command(name = "eval", description = "Measures a trained model's perplexity on held-out text.")
final class EvalCommand implements Callable<Integer> {
  @Mixin private RunOptions run;
  @Mixin private TextOptions text;
  @Spec private CommandSpec spec;

  @Override
  public Integer call() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    Path directory = run.directory();
    Settings settings = Settings.load(directory);
    Text asked = text.over(settings.text());
    Corpus corpus = asked.files().read(run.vocabulary(directory));
    try (LanguageModel model = run.model(directory, settings)) {
      Evaluation evaluation = model.evaluate(corpus.heldOut().batches(model));
      out.printf(
          Locale.ROOT,
          "%s after %,d steps: perplexity %.2f on %,d held-out tokens of %s; unigram model %.2f%n",
          directory,
          model.step(),
          evaluation.perplexity(),
          evaluation.tokens(),
          asked,
          corpus.unigramPerplexity());
      for (Balance balance : evaluation.balances()) {
        out.printf(
            Locale.ROOT,
            "%s: CV(importance) %.3f, CV(load) %.3f, max/mean load %.2f%n",
            balance.layer(),
            balance.importanceCv(),
            balance.loadCv(),
            balance.maxOverMeanLoad());
      }
      out.flush();
    }
    return 0;
  }
}
