package dev.topknot.benchmark;

import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Lstm;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;

/** The measured language models: recurrent layers and a full softmax, trained by Adam. */
final class Models {
  private Models() {}

  /** 640 words a step. */
  @MoEModel(batch = 32, timesteps = 20)
  interface Lm extends LanguageModel {
    /** Words to vectors. */
    @Embedding(vocabulary = 10_000, width = 512)
    Layer words();

    /** The first recurrent layer. */
    @Lstm(units = 512)
    Layer below();

    /** The second. */
    @Lstm(units = 512)
    Layer above();

    /** The next word. */
    @Softmax(vocabulary = 10_000)
    Layer next();
  }

  /** For tests of the benchmark. */
  @MoEModel(batch = 3, timesteps = 4)
  interface TinyLm extends LanguageModel {
    /** Words to vectors. */
    @Embedding(vocabulary = 50, width = 16)
    Layer words();

    /** The first recurrent layer. */
    @Lstm(units = 16)
    Layer below();

    /** The second. */
    @Lstm(units = 16)
    Layer above();

    /** The next word. */
    @Softmax(vocabulary = 50)
    Layer next();
  }
}
