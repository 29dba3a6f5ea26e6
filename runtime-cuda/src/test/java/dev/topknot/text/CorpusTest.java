package dev.topknot.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.LongStream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CorpusTest {
  @TempDir Path data;

  private Path training;
  private Path heldOut;

  @BeforeEach
  void layout() throws IOException {
    training = Files.createDirectories(data.resolve(CorpusFiles.TRAINING));
    heldOut = Files.createDirectories(data.resolve(CorpusFiles.HELD_OUT));
    Files.writeString(training.resolve("text-00001-of-00002"), "the cat sat\nthe dog\n");
    Files.writeString(training.resolve("text-00002-of-00002"), "\n the\tcat  ran \r\n");
    Files.writeString(heldOut.resolve("text.heldout-00000"), "the bird sat");
  }

  @Test
  void readsShardsInOrderWithASentenceEndAfterEachLine() {
    Corpus corpus = Corpus.at(data).read(100);
    assertThat(words(corpus, corpus.training())).isEqualTo("the cat sat\nthe dog\nthe cat ran\n");
    assertThat(words(corpus, corpus.heldOut())).isEqualTo("the <UNK> sat\n");
    assertThat(corpus.training().size()).isEqualTo(11);
  }

  @Test
  void readsTheFirstShardsOnly() throws IOException {
    Files.writeString(heldOut.resolve("text.heldout-00001"), "a second one");
    Corpus corpus = Corpus.at(data).shards(1).heldOutShards(1).read(100);
    assertThat(words(corpus, corpus.training())).isEqualTo("the cat sat\nthe dog\n");
    assertThat(words(corpus, corpus.heldOut())).isEqualTo("the <UNK> sat\n");
  }

  @Test
  void readsGzippedShardsAsIfTheyWereNot() throws IOException {
    String plain = Corpus.at(data).read(100).training().fingerprint();
    Path shard = training.resolve("text-00001-of-00002");
    Files.write(shard.resolveSibling(shard.getFileName() + ".gz"), gzip(Files.readString(shard)));
    Files.delete(shard);
    assertThat(Corpus.at(data).read(100).training().fingerprint()).isEqualTo(plain);
  }

  @Test
  void refusesDamagedGzip() throws IOException {
    byte[] bytes = gzip("a b c\n".repeat(1000));
    Path shard = Files.write(training.resolve("text.gz"), Arrays.copyOf(bytes, bytes.length - 9));
    assertThatThrownBy(() -> Corpus.at(data).read(100))
        .isInstanceOf(CorpusException.class)
        .hasMessageStartingWith(shard + ":")
        .hasMessageContaining("gzipped data is damaged");
  }

  @Test
  void refusesBadUtf8WithFileAndLine() throws IOException {
    Path shard = training.resolve("text-00002-of-00002");
    Files.write(shard, "fine\ncaf\u00e9 noir\n".getBytes(StandardCharsets.ISO_8859_1));
    assertThatThrownBy(() -> Corpus.at(data).read(100))
        .isInstanceOfSatisfying(
            CorpusException.class,
            e -> {
              assertThat(e.file()).isEqualTo(shard);
              assertThat(e.line()).isEqualTo(2);
            })
        .hasMessageStartingWith(shard + ":2: byte 4 of the line (0xE9) is not UTF-8");
  }

  @Test
  void refusesATruncatedCharacterAtTheEndOfAFile() throws IOException {
    Path shard = training.resolve("text-00002-of-00002");
    byte[] whole = "fine\n\n\u20ac".getBytes(StandardCharsets.UTF_8);
    Files.write(shard, Arrays.copyOf(whole, whole.length - 1));
    assertThatThrownBy(() -> Corpus.at(data).read(100))
        .isInstanceOf(CorpusException.class)
        .hasMessageStartingWith(shard + ":3: byte 1 of the line");
  }

  @Test
  void keepsWordsThatAreNotAscii() throws IOException {
    Files.writeString(
        training.resolve("text-00001-of-00002"), "\uFEFFna\u00efve \ud83d\ude00 the\n");
    Corpus corpus = Corpus.at(data).read(100);
    assertThat(words(corpus, corpus.training())).startsWith("na\u00efve \ud83d\ude00 the\n");
  }

  @Test
  void refusesFilesWithoutWordsWithTheLineWhereTheyEnd() throws IOException {
    Path shard = training.resolve("text-00002-of-00002");
    Files.writeString(shard, "");
    assertThatThrownBy(() -> Corpus.at(data).read(100)).hasMessage(shard + ":1: the file is empty");
    Files.writeString(shard, "\n  \n\n");
    assertThatThrownBy(() -> Corpus.at(data).read(100))
        .isInstanceOf(CorpusException.class)
        .hasMessage(shard + ":3: the file ends here without a word");
  }

  @Test
  void saysWhatIsMissing() throws IOException {
    assertThatThrownBy(() -> Corpus.at(data.resolve("nowhere")).read(100))
        .isInstanceOf(CorpusException.class)
        .hasMessage(data.resolve("nowhere") + ": no such file or directory");
    assertThatThrownBy(() -> Corpus.at(training).read(100))
        .hasMessageContaining("there is no " + CorpusFiles.TRAINING);
    Files.delete(heldOut.resolve("text.heldout-00000"));
    assertThatThrownBy(() -> Corpus.at(data).read(100))
        .hasMessage(heldOut + ": no shards in this directory");
  }

  @Test
  void holdsOutTheLastSentencesOfAPlainFile() throws IOException {
    Path file = data.resolve("plain.txt");
    Files.writeString(file, "a b\n\nc\na a\nz\nz y x\n");
    Corpus corpus = Corpus.at(file).heldOutFraction(0.4).read(100);
    assertThat(words(corpus, corpus.training())).isEqualTo("a b\nc\na a\n");
    assertThat(words(corpus, corpus.heldOut())).isEqualTo("<UNK>\n<UNK> <UNK> <UNK>\n");
    assertThat(corpus.vocabulary().size()).as("held-out words are not counted").isEqualTo(5);
  }

  @Test
  void holdsOutAtLeastOneSentenceAndKeepsOne() throws IOException {
    Path file = data.resolve("plain.txt");
    Files.writeString(file, "a\nb\n");
    for (double fraction : new double[] {1e-9, 0.999}) {
      Corpus corpus = Corpus.at(file).heldOutFraction(fraction).read(100);
      assertThat(corpus.training().size()).isEqualTo(2);
      assertThat(corpus.heldOut().size()).isEqualTo(2);
    }
    Files.writeString(file, "a b c");
    assertThatThrownBy(() -> Corpus.at(file).read(100)).hasMessageContaining("one sentence only");
  }

  @Test
  void readsWithAGivenVocabulary() throws IOException {
    Corpus first = Corpus.at(data).read(100);
    Path file = Files.writeString(data.resolve("plain.txt"), "the zebra sat\nthe dog ran\n");
    Corpus second = Corpus.at(file).read(first.vocabulary());
    assertThat(words(first, second.training())).isEqualTo("the <UNK> sat\n");
    assertThat(words(first, second.heldOut())).isEqualTo("the dog ran\n");
  }

  @Test
  void unigramPerplexityIsThatOfAddOneCounts() {
    Corpus corpus = Corpus.at(data).read(100);
    // 11 training tokens, 7 entries: </S> 3, <UNK> 0, the 3, cat 2, dog 1, ran 1, sat 1.
    double total = 11 + 7;
    double logs =
        Math.log(4 / total) + Math.log(1 / total) + Math.log(2 / total) + Math.log(4 / total);
    assertThat(corpus.unigramPerplexity())
        .isCloseTo(Math.exp(-logs / 4), org.assertj.core.data.Offset.offset(1e-12));
  }

  @Test
  void refusesSettingsThatMakeNoSense() {
    assertThatThrownBy(() -> Corpus.at(data).shards(0))
        .hasMessage("shards: expected at least 1, got 0");
    assertThatThrownBy(() -> Corpus.at(data).heldOutFraction(Double.NaN))
        .hasMessageContaining("got NaN");
    assertThatThrownBy(() -> Corpus.at(data).read(2)).hasMessageContaining("got 2");
  }

  private static byte[] gzip(String text) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (OutputStream out = new GZIPOutputStream(bytes)) {
      out.write(text.getBytes(StandardCharsets.UTF_8));
    }
    return bytes.toByteArray();
  }

  private static String words(Corpus corpus, Tokens tokens) {
    return corpus
        .vocabulary()
        .decode(LongStream.range(0, tokens.size()).mapToInt(tokens::get).toArray());
  }
}
