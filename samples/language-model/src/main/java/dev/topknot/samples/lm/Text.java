package dev.topknot.samples.lm;

import dev.topknot.text.Corpus;
import dev.topknot.text.CorpusFiles;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;

/**
 * Which text, and how much of it.
 *
 * @param data a directory or a file; null for the bundled text
 * @param shards training shards to read, null for all
 * @param heldOutShards held-out shards to read, null for all
 */
record Text(Path data, Integer shards, Integer heldOutShards) {
  static final Text BUNDLED = new Text(null, null, null);

  CorpusFiles files() {
    CorpusFiles files = Corpus.at(data == null ? BundledText.path() : data);
    files = shards == null ? files : files.shards(shards);
    return heldOutShards == null ? files : files.heldOutShards(heldOutShards);
  }

  /**
   * Reads the text with a vocabulary of its own, and says what it is.
   *
   * @param vocabulary entries at most
   */
  Corpus read(int vocabulary, PrintWriter out) {
    Corpus corpus = files().read(vocabulary);
    out.printf(
        Locale.ROOT,
        "Text: %s, %,d training and %,d held-out tokens, %,d words known%n",
        this,
        corpus.training().size(),
        corpus.heldOut().size(),
        corpus.vocabulary().size());
    out.flush();
    return corpus;
  }

  @Override
  public String toString() {
    String name = data == null ? "the bundled text" : data.toString();
    return shards == null ? name : name + " (first " + shards + " shards)";
  }
}
