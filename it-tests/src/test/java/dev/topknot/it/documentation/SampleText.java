package dev.topknot.it.documentation;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;

/** The text that pages read: {@code text.txt}, and {@code corpus/} as the benchmark has it. */
final class SampleText {
  private static final List<String> SUBJECTS =
      List.of("the cat", "the old dog", "a sailor", "my aunt", "the minister", "nobody");
  private static final List<String> VERBS =
      List.of("saw", "followed", "painted", "forgot", "sold", "carried");
  private static final List<String> OBJECTS =
      List.of("the harbour", "a red boat", "the letter", "an umbrella", "the moon", "two apples");
  private static final List<String> ENDS =
      List.of("at night .", "on Monday .", "without a word .", "again .", "twice .");

  private SampleText() {}

  /** Writes the text into a directory. */
  static void write(Path directory) throws IOException {
    Random random = new Random(1);
    write(directory.resolve("text.txt"), random, 300);
    Path corpus = directory.resolve("corpus");
    Path training = corpus.resolve("training-monolingual.tokenized.shuffled");
    Path heldOut = corpus.resolve("heldout-monolingual.tokenized.shuffled");
    write(training.resolve("news.en-00001-of-00100"), random, 400);
    write(training.resolve("news.en-00002-of-00100"), random, 400);
    write(heldOut.resolve("news.en.heldout-00000-of-00050"), random, 60);
  }

  private static void write(Path file, Random random, int sentences) throws IOException {
    Files.createDirectories(file.getParent());
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < sentences; i++) {
      for (List<String> part : List.of(SUBJECTS, VERBS, OBJECTS)) {
        text.append(part.get(random.nextInt(part.size()))).append(' ');
      }
      text.append(ENDS.get(random.nextInt(ENDS.size()))).append('\n');
    }
    Files.writeString(file, text);
  }
}
