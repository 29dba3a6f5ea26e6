package dev.topknot.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class VocabularyTest {
  private static final List<String> TYPES = List.of("</S>", "<UNK>", "b", "z", "a", "unseen", "c");
  private static final long[] COUNTS = {4, 1, 3, 7, 3, 0, 3};

  @TempDir Path folder;

  @Test
  void fallsByFrequencyAndBreaksTiesByTheWord() {
    Vocabulary vocabulary = Vocabulary.of(100, TYPES, COUNTS);
    assertThat(entries(vocabulary)).containsExactly("</S>", "<UNK>", "z", "a", "b", "c");
    assertThat(vocabulary.id("z")).isEqualTo(2);
    assertThat(vocabulary.id("unseen")).isEqualTo(Vocabulary.UNKNOWN);
  }

  @Test
  void doesNotDependOnTheOrderOfTheText() {
    List<String> other = List.of("</S>", "<UNK>", "c", "a", "unseen", "b", "z");
    assertThat(entries(Vocabulary.of(5, other, new long[] {4, 1, 3, 3, 0, 3, 7})))
        .containsExactlyElementsOf(entries(Vocabulary.of(5, TYPES, COUNTS)));
  }

  @Test
  void countsWhatDoesNotFitAsUnknown() {
    Vocabulary vocabulary = Vocabulary.of(4, TYPES, COUNTS);
    assertThat(entries(vocabulary)).containsExactly("</S>", "<UNK>", "z", "a");
    assertThat(vocabulary.count(Vocabulary.UNKNOWN)).isEqualTo(1 + 3 + 3);
    assertThat(IntStream.range(0, 4).mapToLong(vocabulary::count).sum())
        .isEqualTo(Arrays.stream(COUNTS).sum());
  }

  @Test
  void encodesAndDecodesText() {
    Vocabulary vocabulary = Vocabulary.of(100, TYPES, COUNTS);
    assertThat(vocabulary.encode("  z a\tnobody </S>\n")).containsExactly(2, 3, 1, 1);
    assertThat(vocabulary.encode(" ")).isEmpty();
    assertThat(vocabulary.decode(2, 3, 0, 1)).isEqualTo("z a\n<UNK>");
    assertThat(vocabulary.decode(6, 2)).isEqualTo("<UNK> z");
    assertThatThrownBy(() -> vocabulary.word(6)).hasMessage("id: expected 0 to 5, got 6");
  }

  @Test
  void loadsWhatItSaved() throws IOException {
    Path file = folder.resolve("vocabulary.txt");
    Vocabulary saved = Vocabulary.of(5, TYPES, COUNTS);
    saved.save(file);
    Vocabulary loaded = Vocabulary.load(file);
    assertThat(entries(loaded)).isEqualTo(entries(saved));
    for (int id = 0; id < saved.size(); id++) {
      assertThat(loaded.count(id)).isEqualTo(saved.count(id));
      assertThat(loaded.id(saved.word(id))).isEqualTo(saved.id(saved.word(id)));
    }
    assertThat(folder.toFile().list()).containsExactly("vocabulary.txt");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "</S> 1,<UNK> 1,a           | 3 | expected a word, a tab and its count, got a",
        "</S> 1,a 1,b 1             | 2 | expected <UNK>, got a",
        "</S> 1,<UNK> 1,a 2,b 1,a 1 | 5 | a is already in line 3",
        "</S> 1,<UNK> 1,a -1        | 3 | expected a word, a tab and its count, got a\t-1",
        "</S> 1,<UNK> 1             | 2 | expected </S>, <UNK> and words after them",
      })
  void refusesOtherFilesWithTheLine(String lines, int line, String problem) throws IOException {
    Path file = folder.resolve("vocabulary.txt");
    Files.writeString(file, lines.replace(' ', '\t').replace(',', '\n'));
    assertThatThrownBy(() -> Vocabulary.load(file))
        .isInstanceOf(CorpusException.class)
        .hasMessage(file + ":" + line + ": " + problem.replace("\\t", "\t"));
  }

  private static List<String> entries(Vocabulary vocabulary) {
    return IntStream.range(0, vocabulary.size()).mapToObj(vocabulary::word).toList();
  }

  /** As the reader of a corpus does: at what Java calls white space, not at no-break spaces. */
  @Test
  void encodesWordsApartByTheWhiteSpaceOfACorpus() {
    Vocabulary words =
        Vocabulary.of(9, List.of("", "", "a", "b", "b\u00a0a"), new long[] {1, 1, 3, 2, 1});
    assertThat(words.encode("a\u3000b\u2003 b\u00a0a\tb")).containsExactly(2, 3, 4, 3);
  }
}
