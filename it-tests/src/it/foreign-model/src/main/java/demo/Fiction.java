package demo;

import dev.topknot.dsl.*;
import dev.topknot.runtime.*;
import dev.topknot.text.*;
import java.io.IOException;
import java.nio.file.Path;

/** Trains a language model on a file of sentences and lets it write one. */
public final class Fiction {
  /** The model. */
  @MoEModel(batch = 8, timesteps = 10)
  public interface Model extends LanguageModel {
    /** A thousand words. */
    @Embedding(vocabulary = 1000, width = 32)
    Layer words();

    /** What was said. */
    @Lstm(units = 32)
    @Dropout(0.1)
    Layer memory();

    /** Four of sixteen experts. */
    @MoELayer(experts = 16, k = 4)
    @Expert(hidden = 64)
    @Residual
    MoE experts();

    /** The next word. */
    @Softmax(vocabulary = 1000)
    Layer next();
  }

  private Fiction() {}

  /** Trains for some epochs; gives the perplexity on text held out, and that of word counts. */
  public static double[] train(Path text, Path run, int epochs) throws IOException {
    try (Model model = TopknotFiction_Model.on(Device.best(), 1)) {
      Corpus corpus = Corpus.at(text).heldOutFraction(0.1).read(model.vocabulary());
      Trainer.Builder training =
          Trainer.of(model, corpus)
              .schedule(Schedule.warmupInverseSqrt(0.01, 50).withClip(1))
              .epochs(epochs)
              .checkpoints(run);
      try (Trainer trainer = training.build()) {
        double perplexity = trainer.run().heldOut().orElseThrow().perplexity();
        int[] start = {Vocabulary.END};
        System.out.println(corpus.vocabulary().decode(model.generate(start, 20, 0.7).toArray()));
        return new double[] {perplexity, corpus.unigramPerplexity()};
      }
    }
  }
}
