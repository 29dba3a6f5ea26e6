package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.text.Corpus;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "train",
    description =
        "Trains a language model and reports how good it became. Without a limit: one pass over the"
            + " text; of the bundled text as much as 5 minutes allow.")
final class TrainCommand implements Callable<Integer> {
  private static final double BUNDLED_MINUTES = 5;

  @Mixin private TrainingOptions training;
  @Mixin private DeviceOptions device;

  @Option(
      names = "--model",
      paramLabel = "NAME",
      description = "${COMPLETION-CANDIDATES}. Default: moe.")
  private ModelKind kind;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "Directory of the run. Default: a new one in runs/.")
  private Path out;

  @Option(
      names = "--resume",
      description =
          "Goes on with the run in --out, by default the latest: same model, text and settings"
              + " unless given anew.")
  private boolean resume;

  @Option(
      names = "--progress",
      paramLabel = "STYLE",
      defaultValue = "auto",
      description = "${COMPLETION-CANDIDATES}. Default: a bar on a terminal, else lines.")
  private Display.Style style;

  @Spec private CommandSpec spec;

  @Override
  public Integer call() throws IOException {
    Device chosen = device.device();
    Path directory = directory();
    Settings settings =
        training.over(resume ? Settings.load(directory) : training.defaults(null, BUNDLED_MINUTES));
    settings = kind == null ? settings : settings.withModel(kind);
    PrintWriter console = spec.commandLine().getOut();
    Corpus corpus = settings.text().read(TopknotNewsModel.VOCABULARY, console);
    try (Display display = Display.of(style, settings.model().toString())) {
      new TrainingRun(settings, corpus, directory, training, console)
          .run(chosen, resume, display, TrainCommand::report);
    }
    return 0;
  }

  private Path directory() throws IOException {
    if (out != null) {
      return out;
    }
    return resume ? Runs.latest() : Runs.next((kind == null ? ModelKind.MOE : kind).toString());
  }

  private static String report(Outcome outcome) {
    try {
      String report = "Report: " + Report.write(outcome.directory(), List.of(outcome));
      return outcome.result().stopped()
          ? report
          : "%s%nTo try it: samples/lm generate --run %s --prompt \"the old\""
              .formatted(report, outcome.directory());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
