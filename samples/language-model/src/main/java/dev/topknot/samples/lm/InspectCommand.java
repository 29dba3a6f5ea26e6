package dev.topknot.samples.lm;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.text.Batches;
import dev.topknot.text.Vocabulary;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

@Command(
    name = "inspect",
    description =
        "Shows what a trained model's experts have specialised in: the words of the held-out text"
            + " for which an expert's gate is highest, with the words around them.")
final class InspectCommand implements Callable<Integer> {
  private static final int EXPERTS = 3;

  @Mixin private RunOptions run;
  @Mixin private TextOptions text;

  @Option(
      names = "--layer",
      paramLabel = "NAME",
      description = "Which layer of experts. Default: the first one.")
  private String layer;

  @Option(
      names = "--experts",
      paramLabel = "N",
      split = ",",
      description = "Numbers of experts, from 0. Default: the 3 busiest and 3 from the middle.")
  private int[] experts;

  @Option(
      names = "--top",
      paramLabel = "N",
      defaultValue = "10",
      description = "Places to show of each expert. Default: ${DEFAULT-VALUE}.")
  private int top;

  @Option(
      names = "--before",
      paramLabel = "N",
      defaultValue = "5",
      description = "Words before each, of the same sentence. Default: ${DEFAULT-VALUE}.")
  private int before;

  @Option(
      names = "--after",
      paramLabel = "N",
      defaultValue = "4",
      description = "Words after each, of the same sentence. Default: ${DEFAULT-VALUE}.")
  private int after;

  @Spec private CommandSpec spec;

  @Override
  public Integer call() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    Path directory = run.directory();
    Settings settings = Settings.load(directory);
    Text asked = text.over(settings.text());
    Vocabulary vocabulary = run.vocabulary(directory);
    if (top < 1 || before < 0 || after < 0) {
      throw new ParameterException(
          spec.commandLine(), "--top is at least 1, --before and --after at least 0");
    }
    try (LanguageModel model = run.model(directory, settings)) {
      Batches batches = asked.files().read(vocabulary).heldOut().batches(model);
      List<Balance> gated = model.evaluate(batches.first(1)).balances();
      int number = number(gated);
      Balance balance = gated.get(number);
      requireExperts(balance);
      Contexts contexts = new Contexts(balance.experts(), model.batch(), top);
      model.evaluate(
          batches,
          (batch, routings) ->
              routings.stream()
                  .filter(routing -> routing.layer().equals(balance.layer()))
                  .forEach(routing -> contexts.add(batch, routing)));
      out.printf(
          Locale.ROOT,
          "%s, layer %s of %d experts, %,d held-out tokens of %s%n",
          directory,
          balance.layer(),
          balance.experts(),
          batches.tokens(),
          asked);
      for (int expert : experts == null ? contexts.busiestAndMedian(EXPERTS) : experts) {
        print(expert, contexts, vocabulary, out);
      }
      out.flush();
    }
    return 0;
  }

  /** The number of the layer asked for among those with a gate. */
  private int number(List<Balance> gated) {
    List<String> names = gated.stream().map(Balance::layer).toList();
    int number = layer == null ? 0 : names.indexOf(layer);
    if (number < 0 || number >= names.size()) {
      throw new IllegalArgumentException(
          names.isEmpty()
              ? "no layer of this model has a gate"
              : "--layer: expected one of " + names + ", got " + layer);
    }
    return number;
  }

  private void requireExperts(Balance balance) {
    for (int expert : experts == null ? new int[0] : experts) {
      if (expert < 0 || expert >= balance.experts()) {
        throw new IllegalArgumentException(
            "--experts: expected 0 to " + (balance.experts() - 1) + ", got " + expert);
      }
    }
  }

  private void print(int expert, Contexts contexts, Vocabulary vocabulary, PrintWriter out) {
    out.printf(
        Locale.ROOT,
        "%nExpert %d: %,d tokens, %.1f%%%n",
        expert,
        contexts.tokens(expert),
        100 * contexts.share(expert));
    for (Contexts.Place place : contexts.best(expert)) {
      out.printf(
          Locale.ROOT,
          "  %.3f  %s%n",
          place.gate(),
          contexts.words(place, vocabulary, before, after));
    }
  }
}
