package dev.topknot.it.cuda;

import dev.topknot.dsl.Activation;
import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Dropout;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Lstm;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Precision;
import dev.topknot.dsl.Residual;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;

/** {@link Twin} with bf16 operands. */
@MoEModel(batch = 4, timesteps = 5, precision = Precision.BF16)
public interface RoundedTwin extends LanguageModel {
  /** Word vectors. */
  @Embedding(vocabulary = 90, width = 24)
  Layer words();

  /** Reads the words in order. */
  @Lstm(units = 24)
  @Dropout(0.1)
  @Residual
  Layer below();

  /** 2 of 6 experts for each token. */
  @MoELayer(experts = 6, k = 2)
  @Expert(hidden = 20, activation = ActivationFunction.RELU)
  @Activation(ActivationFunction.SIGMOID)
  @Dropout(0.1)
  @Residual
  MoE experts();

  /** Reads what the experts made of them. */
  @Lstm(units = 24)
  @Dropout(0.1)
  @Residual
  Layer above();

  /** The probability of each next word. */
  @Softmax(vocabulary = 90)
  Layer next();
}
