package dev.topknot.samples.lm;

import dev.topknot.text.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.Stream;

/** Finds directories of runs. */
final class Runs {
  private static final Path FOLDER = Path.of("runs");

  private Runs() {}

  /** A directory that does not exist yet: {@code runs/moe-1}, {@code runs/moe-2} and so on. */
  static Path next(String name) {
    int number = 1;
    while (Files.exists(FOLDER.resolve(name + "-" + number))) {
      number++;
    }
    return FOLDER.resolve(name + "-" + number);
  }

  /** The run that was saved last. */
  static Path latest() throws IOException {
    Optional<Path> latest = Optional.empty();
    if (Files.isDirectory(FOLDER)) {
      try (Stream<Path> models =
          Files.find(FOLDER, 3, (file, about) -> file.endsWith(Trainer.MODEL_FILE))) {
        latest = models.max(Comparator.comparing(Runs::time)).map(Path::getParent);
      }
    }
    return latest.orElseThrow(
        () -> new IOException("there is no run in " + FOLDER.toAbsolutePath() + "; train first"));
  }

  private static long time(Path file) {
    return file.toFile().lastModified();
  }
}
