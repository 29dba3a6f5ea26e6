package dev.topknot.text;

import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The words a model knows, by falling frequency in the training text.
 *
 * <p>Id 0 is {@code </S>}, the end of a sentence, which is also what stands before the first one;
 * id 1 is {@code <UNK>}, every word that is not listed (and a word of the text that is spelled like
 * one of these two). Words follow from id 2, the more frequent first, equally frequent ones in the
 * order of {@link String#compareTo}, so that the same text always gives the same ids. A softmax
 * that training samples draws small ids often, and relies on this order.
 */
public final class Vocabulary {
  /** Id of {@code </S>}, the end of a sentence. */
  public static final int END = 0;

  /** Id of {@code <UNK>}, a word that is not listed. */
  public static final int UNKNOWN = 1;

  private static final String END_WORD = "</S>";
  private static final String UNKNOWN_WORD = "<UNK>";
  private static final int FIRST_WORD = 2;

  private final String[] words;
  private final long[] counts;
  private final Map<String, Integer> ids;

  private Vocabulary(String[] words, long[] counts) {
    this.words = words;
    this.counts = counts;
    this.ids = new HashMap<>(words.length * 2);
    for (int id = FIRST_WORD; id < words.length; id++) {
      ids.put(words[id], id);
    }
  }

  /**
   * The most frequent of the given words.
   *
   * @param size entries wanted, {@code </S>} and {@code <UNK>} included; a text with fewer
   *     different words gives fewer
   * @param types every word of the text, from index 2 on
   * @param typeCounts how often each occurs; index 0 counts sentence ends, 1 unknown words
   */
  static Vocabulary of(int size, List<String> types, long[] typeCounts) {
    if (size <= FIRST_WORD) {
      throw new IllegalArgumentException(
          "vocabulary: expected more than the " + FIRST_WORD + " special entries, got " + size);
    }
    // A type of the held-out part only has count 0: it is no word of the training text.
    int[] order =
        IntStream.range(FIRST_WORD, types.size())
            .filter(type -> typeCounts[type] > 0)
            .boxed()
            .sorted(
                Comparator.<Integer>comparingLong(type -> -typeCounts[type])
                    .thenComparing(types::get))
            .mapToInt(Integer::intValue)
            .toArray();
    int entries = Math.min(size, order.length + FIRST_WORD);
    String[] words = new String[entries];
    long[] counts = new long[entries];
    words[END] = END_WORD;
    words[UNKNOWN] = UNKNOWN_WORD;
    counts[END] = typeCounts[END];
    counts[UNKNOWN] = typeCounts[UNKNOWN];
    for (int i = 0; i < order.length; i++) {
      int id = i + FIRST_WORD;
      if (id < entries) {
        words[id] = types.get(order[i]);
        counts[id] = typeCounts[order[i]];
      } else {
        counts[UNKNOWN] += typeCounts[order[i]];
      }
    }
    return new Vocabulary(words, counts);
  }

  /** Number of entries, the two special ones included. */
  public int size() {
    return words.length;
  }

  /** The id of a word, {@link #UNKNOWN} if it is not listed. */
  public int id(String word) {
    return ids.getOrDefault(word, UNKNOWN);
  }

  /** The word of an id. */
  public String word(int id) {
    if (id < 0 || id >= words.length) {
      throw new IllegalArgumentException("id: expected 0 to " + (words.length - 1) + ", got " + id);
    }
    return words[id];
  }

  /** How often an entry occurs in the training text. */
  public long count(int id) {
    word(id);
    return counts[id];
  }

  /** The ids of the words of a text, apart by white space, without an end of sentence. */
  public int[] encode(String text) {
    return text.strip().isEmpty()
        ? new int[0]
        : Arrays.stream(text.strip().split("\\p{javaWhitespace}+")).mapToInt(this::id).toArray();
  }

  /**
   * The words of ids, apart by spaces, a new line for each end of sentence. An id beyond the
   * vocabulary, which a model may have where its text has fewer words, is {@code <UNK>}.
   */
  public String decode(int... text) {
    StringBuilder out = new StringBuilder();
    boolean newLine = true;
    for (int id : text) {
      if (id == END) {
        out.append('\n');
      } else {
        out.append(newLine ? "" : " ").append(word(id < size() ? id : UNKNOWN));
      }
      newLine = id == END;
    }
    return out.toString();
  }

  /**
   * Perplexity on a text of the model that knows only how often words occur: a token's probability
   * is (count + 1) / (tokens + entries), counts from the training text. A language model that does
   * not beat this by far has learned nothing from context.
   */
  public double unigramPerplexity(Tokens text) {
    double total = Arrays.stream(counts).sum() + (double) words.length;
    long[] occurrences = text.counts(words.length);
    double sum = 0;
    for (int id = 0; id < words.length; id++) {
      sum -= occurrences[id] * Math.log((counts[id] + 1) / total);
    }
    return Math.exp(sum / text.size());
  }

  /** Writes one line an entry, the word, a tab, its count, in the order of the ids; atomically. */
  public void save(Path file) throws IOException {
    Path temporary = file.resolveSibling(file.getFileName() + ".tmp");
    try (BufferedWriter out = Files.newBufferedWriter(temporary)) {
      for (int id = 0; id < words.length; id++) {
        out.append(words[id]).append('\t').append(Long.toString(counts[id])).append('\n');
      }
    }
    Files.move(temporary, file, StandardCopyOption.REPLACE_EXISTING);
  }

  /**
   * Reads what {@link #save} wrote.
   *
   * @throws CorpusException naming file and line if it is something else
   */
  public static Vocabulary load(Path file) throws IOException {
    List<String> lines;
    try {
      lines = Files.readAllLines(file, StandardCharsets.UTF_8);
    } catch (CharacterCodingException e) {
      throw new CorpusException(file, 0, "a vocabulary is UTF-8 text, this file is not", e);
    }
    if (lines.size() <= FIRST_WORD) {
      throw new CorpusException(
          file,
          lines.size(),
          "expected " + END_WORD + ", " + UNKNOWN_WORD + " and words after them");
    }
    List<String> words = new ArrayList<>();
    long[] counts = new long[lines.size()];
    Map<String, Integer> seen = new HashMap<>();
    for (int id = 0; id < lines.size(); id++) {
      String line = lines.get(id);
      int tab = line.indexOf('\t');
      String word = tab < 0 ? line : line.substring(0, tab);
      String special = id == END ? END_WORD : id == UNKNOWN ? UNKNOWN_WORD : word;
      if (tab < 1 || !line.substring(tab + 1).matches("\\d{1,18}")) {
        throw new CorpusException(
            file, id + 1, "expected a word, a tab and its count, got " + line);
      }
      if (!word.equals(special)) {
        throw new CorpusException(file, id + 1, "expected " + special + ", got " + word);
      }
      Integer first = seen.putIfAbsent(word, id + 1);
      if (first != null) {
        throw new CorpusException(file, id + 1, word + " is already in line " + first);
      }
      words.add(word);
      counts[id] = Long.parseLong(line.substring(tab + 1));
    }
    return new Vocabulary(words.toArray(String[]::new), counts);
  }
}
