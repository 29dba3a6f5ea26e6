package dev.topknot.samples.lm;

import dev.topknot.runtime.LanguageModel;
import dev.topknot.text.Trainer;
import dev.topknot.text.Vocabulary;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Which trained model. */
final class RunOptions {
  @Mixin private DeviceOptions device;

  @Option(
      names = "--run",
      paramLabel = "DIR",
      description = "Directory of a run. Default: the latest one in runs/.")
  private Path run;

  Path directory() throws IOException {
    return run == null ? Runs.latest() : run;
  }

  Vocabulary vocabulary(Path directory) throws IOException {
    return Vocabulary.load(directory.resolve(Trainer.VOCABULARY_FILE));
  }

  LanguageModel model(Path directory, Settings settings) throws IOException {
    LanguageModel model = settings.model().on(device.device(), settings.seed(), settings.options());
    try {
      model.load(directory.resolve(Trainer.MODEL_FILE));
      return model;
    } catch (IOException | RuntimeException e) {
      model.close();
      throw e;
    }
  }
}
