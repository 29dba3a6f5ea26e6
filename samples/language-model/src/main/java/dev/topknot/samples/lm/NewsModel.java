package dev.topknot.samples.lm;

import static dev.topknot.dsl.ActivationFunction.SIGMOID;

import dev.topknot.dsl.Activation;
import dev.topknot.dsl.Dropout;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Lstm;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Residual;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;

/**
 * The language model of [S17] figure 1 in a size that two cores train in minutes: experts between
 * two recurrent layers.
 */
@MoEModel(batch = 32, timesteps = 20)
public interface NewsModel extends LanguageModel {
  /** Word vectors. */
  @Embedding(vocabulary = 10_000, width = 128)
  Layer words();

  /** Reads the words in order. */
  @Lstm(units = 128)
  @Dropout(0.1)
  @Residual
  Layer below();

  /** 4 of 64 experts for each token. */
  @Activation(SIGMOID)
  @Dropout(0.1)
  @Residual
  NewsExperts experts();

  /** Reads what the experts made of them. */
  @Lstm(units = 128)
  @Dropout(0.1)
  @Residual
  Layer above();

  /** The probability of each next word. */
  @Softmax(vocabulary = 10_000)
  Layer next();
}
