package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.samples.lm.sweep.Scale;
import dev.topknot.text.Corpus;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "sweep",
    description =
        "Trains the models of a figure or table of the paper, smaller, on one text in one order, and"
            + " reports them side by side. Asked again it goes on where it was broken off.")
final class SweepCommand implements Callable<Integer> {
  @Parameters(paramLabel = "SWEEP", description = "${COMPLETION-CANDIDATES}.")
  private Sweep sweep;

  @Option(
      names = "--scale",
      paramLabel = "SCALE",
      defaultValue = "small",
      description =
          "How large the models are: ${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
  private Scale scale;

  @Mixin private TrainingOptions training;
  @Mixin private DeviceOptions device;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "Directory of the runs, which sweeps may share. Default: runs/sweep-SCALE.")
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
    Settings base = settings();
    Device chosen = device.device();
    PrintWriter console = spec.commandLine().getOut();
    Path directory = out == null ? Path.of("runs", "sweep-" + scale) : out;
    Corpus corpus = base.text().read(scale.vocabulary(), console);
    SweepRun runs = new SweepRun(corpus, directory, training.saveEvery);
    SweepResult ngram = runs.ngram();
    print(ngram.model(), ngram, console);
    SweepReport report =
        new SweepReport(sweep, scale, base, chosen.name(), corpus.unigramPerplexity(), ngram);
    SweepProgress progress = new SweepProgress(style);
    for (Sweep.Row row : sweep.rows()) {
      Settings settings = row.settings(base, scale);
      if (!runs.finished(settings)) {
        progress.add(settings, corpus);
      }
    }
    for (Sweep.Row row : sweep.rows()) {
      Settings settings = row.settings(base, scale);
      Optional<SweepResult> result =
          runs.finished(settings)
              ? Optional.of(runs.result(settings))
              : train(runs, settings, row, chosen, progress);
      if (result.isEmpty()) {
        console.println("Stopped and saved. The same command goes on.");
        return 0;
      }
      report.add(row, result.get());
      print(row.label(), result.get(), console);
      report.write(directory);
    }
    console.println("Report: " + report.write(directory));
    console.flush();
    return 0;
  }

  private static void print(String label, SweepResult result, PrintWriter console) {
    console.printf(
        Locale.ROOT,
        "%s: held-out perplexity %.2f%s%n",
        label,
        result.perplexity(),
        result.overfitted()
            ? String.format(
                Locale.ROOT,
                ", %.2f after %,d tokens",
                result.bestPerplexity(),
                result.bestTokens())
            : "");
    console.flush();
  }

  private static Optional<SweepResult> train(
      SweepRun runs, Settings settings, Sweep.Row row, Device device, SweepProgress progress)
      throws IOException {
    try (Display display = progress.next(row.label())) {
      return runs.train(settings, device, progress.whole(display));
    }
  }

  private Settings settings() {
    Settings settings = training.over(Settings.DEFAULTS);
    if (settings.minutes() != null) {
      throw new ParameterException(
          spec.commandLine(), "--minutes: the models are compared after equally many tokens");
    }
    if (sweep.triesLosses() && (settings.importanceLoss() != null || settings.loadLoss() != null)) {
      throw new ParameterException(
          spec.commandLine(), sweep + " tries the weights of the losses: don't set them");
    }
    return settings;
  }
}
