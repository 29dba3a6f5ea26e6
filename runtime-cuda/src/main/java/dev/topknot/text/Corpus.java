package dev.topknot.text;

import java.nio.file.Path;

/**
 * A text to learn from and a text held out to be judged by, as ids of one vocabulary.
 *
 * <pre>{@code
 * Corpus corpus = Corpus.at(Path.of("1-billion-word")).shards(8).read(10_000);
 * Evaluation test = model.evaluate(corpus.heldOut().batches(model));
 * }</pre>
 */
public final class Corpus {
  private final Vocabulary vocabulary;
  private final Tokens training;
  private final Tokens heldOut;

  Corpus(Vocabulary vocabulary, Tokens training, Tokens heldOut) {
    this.vocabulary = vocabulary;
    this.training = training;
    this.heldOut = heldOut;
  }

  /** The text at a path, to be narrowed down and read: see {@link CorpusFiles}. */
  public static CorpusFiles at(Path path) {
    return CorpusFiles.at(path);
  }

  /** The words known, by falling frequency in the training text. */
  public Vocabulary vocabulary() {
    return vocabulary;
  }

  /** The text to learn from. */
  public Tokens training() {
    return training;
  }

  /** The text that training never sees. */
  public Tokens heldOut() {
    return heldOut;
  }

  /**
   * Perplexity of the {@linkplain Vocabulary#unigramPerplexity unigram model} on the held-out text,
   * to compare with.
   */
  public double unigramPerplexity() {
    return vocabulary.unigramPerplexity(heldOut);
  }
}
