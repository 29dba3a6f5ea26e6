package dev.topknot.samples.lm;

import dev.topknot.runtime.LanguageModel;
import dev.topknot.text.Vocabulary;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(name = "generate", description = "Lets a trained model go on from a prompt.")
final class GenerateCommand implements Callable<Integer> {
  @Mixin private RunOptions run;

  @Option(
      names = "--prompt",
      paramLabel = "WORDS",
      defaultValue = "",
      description = "Words apart by spaces, commas and full stops too. Default: none.")
  private String prompt;

  @Option(
      names = "--count",
      paramLabel = "N",
      defaultValue = "60",
      description = "Words to add. Default: ${DEFAULT-VALUE}.")
  private int count;

  @Option(
      names = "--temperature",
      paramLabel = "T",
      defaultValue = "0.8",
      description =
          "0 always takes the most probable word, 1 the model's own probabilities. Default:"
              + " ${DEFAULT-VALUE}.")
  private double temperature;

  @Option(names = "--seed", paramLabel = "S", description = "Seed of the draws.")
  private Long seed;

  @Spec private CommandSpec spec;

  @Override
  public Integer call() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    Path directory = run.directory();
    Settings settings = Settings.load(directory);
    Vocabulary vocabulary = run.vocabulary(directory);
    int[] words = vocabulary.encode(prompt);
    int[] start = IntStream.concat(IntStream.of(Vocabulary.END), IntStream.of(words)).toArray();
    try (LanguageModel model = run.model(directory, settings)) {
      long draws = seed == null ? model.seed() : seed;
      int[] added = model.generate(start, count, temperature, draws).toArray();
      int[] all = IntStream.concat(IntStream.of(words), IntStream.of(added)).toArray();
      out.println(vocabulary.decode(all).stripTrailing());
      out.flush();
    }
    return 0;
  }
}
