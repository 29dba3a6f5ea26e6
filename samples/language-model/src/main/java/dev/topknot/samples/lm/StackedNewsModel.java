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
 * Experts after both recurrent layers, 32 each time: with more of the work in experts, more is
 * gained by them. {@link DenseStackedNewsModel} is its dense twin.
 */
@MoEModel(batch = 32, timesteps = 20)
public interface StackedNewsModel extends LanguageModel {
  /** Word vectors. */
  @Embedding(vocabulary = 10_000, width = 128)
  Layer words();

  /** Reads the words in order. */
  @Lstm(units = 128)
  @Dropout(0.1)
  @Residual
  Layer below();

  /** 4 of 32 experts for each token. */
  @MoELayer(experts = 32, k = 4)
  @Expert(hidden = 256, activation = RELU)
  @Activation(SIGMOID)
  @Dropout(0.1)
  @Residual
  MoE experts();

  /** Reads what the experts made of them. */
  @Lstm(units = 128)
  @Dropout(0.1)
  @Residual
  Layer above();

  /** 4 of 32 others. */
  @MoELayer(experts = 32, k = 4)
  @Expert(hidden = 256, activation = RELU)
  @Activation(SIGMOID)
  @Dropout(0.1)
  @Residual
  MoE last();

  /** The probability of each next word. */
  @Softmax(vocabulary = 10_000)
  Layer next();
}
