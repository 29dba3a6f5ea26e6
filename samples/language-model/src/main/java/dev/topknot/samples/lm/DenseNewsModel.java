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
 * The dense twin of {@link NewsModel}, to compare with: one feed-forward layer that does as many
 * operations for each token as four experts and their gate do together, 2 · 128 · 1088 = 4 · 2 ·
 * 128 · 256 + 2 · 128 · 64; within 1.6% of {@link NewsModel32} as well.
 */
@MoEModel(batch = 32, timesteps = 20)
public interface DenseNewsModel extends LanguageModel {
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
  @Expert(hidden = 1088, activation = RELU)
  @Activation(SIGMOID)
  @Dropout(0.1)
  @Residual
  MoE experts();

  /** Reads what it made of them. */
  @Lstm(units = 128)
  @Dropout(0.1)
  @Residual
  Layer above();

  /** The probability of each next word. */
  @Softmax(vocabulary = 10_000)
  Layer next();
}
