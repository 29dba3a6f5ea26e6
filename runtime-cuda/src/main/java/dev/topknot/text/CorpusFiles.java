package dev.topknot.text;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntFunction;
import java.util.stream.Stream;

/**
 * Where a corpus lies and how much of it to read. Immutable: each setter gives a new one.
 *
 * <p>A directory is read in the layout of the 1-Billion-Word benchmark: shards with one tokenised
 * sentence a line in {@value #TRAINING} and {@value #HELD_OUT}, in the order of their names. A file
 * is a text with one sentence a line, its last sentences held out. Words stand apart by white
 * space, blank lines are skipped, text is UTF-8, and names that end in {@code .gz} are gzipped.
 *
 * <p>Data that cannot be used is refused with a {@link CorpusException} that names file and line.
 */
public final class CorpusFiles {
  /** The directory of the training shards. */
  public static final String TRAINING = "training-monolingual.tokenized.shuffled";

  /** The directory of the held-out shards. */
  public static final String HELD_OUT = "heldout-monolingual.tokenized.shuffled";

  private static final double DEFAULT_FRACTION = 0.05;

  private final Path path;
  private final int shards;
  private final int heldOutShards;
  private final double fraction;

  private CorpusFiles(Path path, int shards, int heldOutShards, double fraction) {
    this.path = path;
    this.shards = shards;
    this.heldOutShards = heldOutShards;
    this.fraction = fraction;
  }

  static CorpusFiles at(Path path) {
    return new CorpusFiles(path, Integer.MAX_VALUE, Integer.MAX_VALUE, DEFAULT_FRACTION);
  }

  /** Only the first training shards of a directory; all of them if there are fewer. */
  public CorpusFiles shards(int count) {
    return new CorpusFiles(path, positive("shards", count), heldOutShards, fraction);
  }

  /** Only the first held-out shards of a directory: the benchmark's test set is the first one. */
  public CorpusFiles heldOutShards(int count) {
    return new CorpusFiles(path, shards, positive("held-out shards", count), fraction);
  }

  /** The part of a file's sentences, taken from its end, that is held out: 0.05 unless set. */
  public CorpusFiles heldOutFraction(double part) {
    if (!(part > 0 && part < 1)) {
      throw new IllegalArgumentException(
          "held-out fraction: expected more than 0 and less than 1, got " + part);
    }
    return new CorpusFiles(path, shards, heldOutShards, part);
  }

  private static int positive(String name, int count) {
    if (count < 1) {
      throw new IllegalArgumentException(name + ": expected at least 1, got " + count);
    }
    return count;
  }

  /**
   * Reads the text with a vocabulary of its own.
   *
   * @param vocabularySize entries at most, {@code </S>} and {@code <UNK>} included: the model's
   *     {@link dev.topknot.runtime.LanguageModel#vocabulary() vocabulary()}
   */
  public Corpus read(int vocabularySize) {
    Types types = new Types();
    Split split = read(types::id);
    long[] counts = split.training().counts(types.words.size());
    Vocabulary vocabulary = Vocabulary.of(vocabularySize, types.words, counts);
    int[] ids = types.words.stream().mapToInt(vocabulary::id).toArray();
    ids[Vocabulary.END] = Vocabulary.END;
    return new Corpus(vocabulary, split.training().relabel(ids), split.heldOut().relabel(ids));
  }

  /** Reads the text with a vocabulary that a model already has. */
  public Corpus read(Vocabulary vocabulary) {
    Split split = read(vocabulary::id);
    return new Corpus(vocabulary, split.training(), split.heldOut());
  }

  private record Split(Tokens training, Tokens heldOut) {}

  private Split read(ToIntFunction<String> ids) {
    if (Files.isDirectory(path)) {
      return new Split(
          tokens(files(TRAINING, shards), ids), tokens(files(HELD_OUT, heldOutShards), ids));
    }
    if (!Files.isRegularFile(path)) {
      throw new CorpusException(path, 0, "no such file or directory");
    }
    return cut(tokens(List.of(path), ids));
  }

  /** Holds out the last sentences, at least one, of a text that has at least two. */
  private Split cut(Tokens all) {
    long sentences = count(all);
    if (sentences < 2) {
      throw new CorpusException(path, 1, "one sentence only: none can be held out");
    }
    long kept = Math.min(sentences - 1, Math.max(1, sentences - Math.round(sentences * fraction)));
    long end = 0;
    for (long ends = 0; ends < kept; end++) {
      ends += all.get(end) == Vocabulary.END ? 1 : 0;
    }
    return new Split(all.slice(0, end), all.slice(end, all.size()));
  }

  private static long count(Tokens all) {
    long ends = 0;
    for (long i = 0; i < all.size(); i++) {
      ends += all.get(i) == Vocabulary.END ? 1 : 0;
    }
    return ends;
  }

  private List<Path> files(String directory, int limit) {
    Path folder = path.resolve(directory);
    if (!Files.isDirectory(folder)) {
      throw new CorpusException(
          path,
          0,
          "expected the directories %s and %s with shards of text, or a text file; there is no %s"
              .formatted(TRAINING, HELD_OUT, directory));
    }
    try (Stream<Path> entries = Files.list(folder)) {
      List<Path> files =
          entries
              .filter(Files::isRegularFile)
              .filter(file -> !file.getFileName().toString().startsWith("."))
              .sorted(Comparator.comparing(file -> file.getFileName().toString()))
              .limit(limit)
              .toList();
      if (files.isEmpty()) {
        throw new CorpusException(folder, 0, "no shards in this directory");
      }
      return files;
    } catch (IOException e) {
      throw new UncheckedIOException("cannot list " + folder, e);
    }
  }

  private static Tokens tokens(List<Path> files, ToIntFunction<String> ids) {
    Tokens.Builder tokens = new Tokens.Builder();
    for (Path file : files) {
      SentenceReader.read(
          file,
          new SentenceReader.Sink() {
            @Override
            public void word(String word) {
              tokens.add(ids.applyAsInt(word));
            }

            @Override
            public void endOfSentence() {
              tokens.add(Vocabulary.END);
            }
          });
    }
    return tokens.build();
  }

  /** Every different word of a text, numbered as they come, the special entries first. */
  private static final class Types {
    final List<String> words = new ArrayList<>(List.of("</S>", "<UNK>"));
    private final Map<String, Integer> ids = new HashMap<>();

    Types() {
      // Spelled out in the text, the special entries are words nobody knows.
      words.forEach(special -> ids.put(special, Vocabulary.UNKNOWN));
    }

    int id(String word) {
      Integer id = ids.get(word);
      if (id == null) {
        id = words.size();
        ids.put(word, id);
        words.add(word);
      }
      return id;
    }
  }
}
