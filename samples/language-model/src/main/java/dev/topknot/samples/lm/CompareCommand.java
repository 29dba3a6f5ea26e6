package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.text.Corpus;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
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
    name = "compare",
    description =
        "Trains the MoE model and its dense twin, which does as many operations for each word, on"
            + " the same text in the same order, and reports both. Without a limit: one pass over the"
            + " text; 1,500 steps of the bundled text.")
final class CompareCommand implements Callable<Integer> {
  private static final long BUNDLED_STEPS = 1500;

  @Mixin private TrainingOptions training;
  @Mixin private DeviceOptions device;

  @Option(
      names = "--model",
      paramLabel = "NAME",
      defaultValue = "moe",
      description = "Which MoE model: ${COMPLETION-CANDIDATES}. Default: moe.")
  private ModelKind kind;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "Directory of both runs. Default: a new one in runs/.")
  private Path out;

  @Option(
      names = "--progress",
      paramLabel = "STYLE",
      defaultValue = "auto",
      description = "${COMPLETION-CANDIDATES}. Default: a bar on a terminal, else lines.")
  private Display.Style style;

  @Spec private CommandSpec spec;

  @Override
  public Integer call() throws IOException {
    ModelKind twin =
        kind.twin()
            .orElseThrow(
                () ->
                    new ParameterException(
                        spec.commandLine(),
                        "--model=" + kind + " has no dense twin; name a MoE model"));
    PrintWriter console = spec.commandLine().getOut();
    Device chosen = device.device();
    Path directory = out == null ? Runs.next("compare") : out;
    Settings settings = training.over(training.defaults(BUNDLED_STEPS, null));
    Corpus corpus = settings.text().read(TopknotNewsModel.VOCABULARY, console);
    List<Outcome> outcomes = new ArrayList<>();
    for (ModelKind model : List.of(kind, twin)) {
      try (Display display = Display.of(style, model.toString())) {
        Outcome outcome =
            new TrainingRun(
                    settings.withModel(model),
                    corpus,
                    directory.resolve(model.toString()),
                    training,
                    console)
                .run(chosen, false, display, last -> finish(directory, outcomes, last));
        if (outcome.result().stopped()) {
          return 0;
        }
      }
    }
    print(outcomes, console);
    return 0;
  }

  private static String finish(Path directory, List<Outcome> outcomes, Outcome last) {
    outcomes.add(last);
    try {
      return "Report: " + Report.write(directory, outcomes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void print(List<Outcome> outcomes, PrintWriter console) {
    console.printf(
        "%n%-13s %12s %12s %9s %9s %20s%n",
        "model", "parameters", "tokens", "time", "words/s", "held-out perplexity");
    for (Outcome outcome : outcomes) {
      console.printf(
          Locale.ROOT,
          "%-13s %,12d %,12d %9s %,9.0f %20.2f%n",
          outcome.settings().model(),
          outcome.parameters(),
          outcome.result().tokens(),
          TrainingRun.duration(outcome.result().seconds()),
          outcome.wordsPerSecond(),
          outcome.heldOutPerplexity());
    }
    double change = outcomes.get(0).heldOutPerplexity() / outcomes.get(1).heldOutPerplexity() - 1;
    console.printf(
        Locale.ROOT,
        "The MoE model's perplexity is %.1f%% %s its dense twin's.%n",
        Math.abs(100 * change),
        change < 0 ? "below" : "above");
    console.flush();
  }
}
