package dev.topknot.samples.lm;

import static dev.topknot.dsl.ActivationFunction.RELU;
import static dev.topknot.dsl.ActivationFunction.SIGMOID;

import dev.topknot.dsl.Activation;
import dev.topknot.dsl.Dropout;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Lstm;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Residual;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;

/**
 * The dense twin of {@link StackedNewsModel}: 2 · 128 · 1056 = 4 · 2 · 128 · 256 + 2 · 128 · 32
 * operations for each token, twice.
 */
@MoEModel(batch = 32, timesteps = 20)
public interface DenseStackedNewsModel extends LanguageModel {
  /** Word vectors. */
  @Embedding(vocabulary = 10_000, width = 128)
  Layer words();

  /** Reads the words in order. */
  @Lstm(units = 128)
  @Dropout(0.1)
  @Residual
  Layer below();

  /** One "expert" for every token, without a gate. */
  @MoELayer(experts = 1, k = 1)
  @Expert(hidden = 1056, activation = RELU)
  @Activation(SIGMOID)
  @Dropout(0.1)
  @Residual
  MoE experts();

  /** Reads what it made of them. */
  @Lstm(units = 128)
  @Dropout(0.1)
  @Residual
  Layer above();

  /** One for every token again. */
  @MoELayer(experts = 1, k = 1)
  @Expert(hidden = 1056, activation = RELU)
  @Activation(SIGMOID)
  @Dropout(0.1)
  @Residual
  MoE last();

  /** The probability of each next word. */
  @Softmax(vocabulary = 10_000)
  Layer next();
}
