package dev.topknot.it.gpu;

import dev.topknot.dsl.Activation;
import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Dropout;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Hierarchy;
import dev.topknot.dsl.Lstm;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import dev.topknot.dsl.Residual;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;

/** The layers of MoE-143M, small enough for an emulator. */
@MoEModel(batch = 4, timesteps = 5, precision = Precision.BF16, optimizer = Optimizer.ADAM_FACTORED)
public interface Table7Twin extends LanguageModel {
  /** Word vectors. */
  @Embedding(vocabulary = 200, width = 24)
  @Dropout(0.1)
  Layer words();

  /** Reads the words in order. */
  @Lstm(units = 32, projection = 24)
  @Dropout(0.1)
  @Residual
  Layer below();

  /** 2 experts in each of 2 of 4 groups for each token. */
  @MoELayer(experts = 20, k = 2)
  @Hierarchy(groups = 4, k = 2)
  @Expert(hidden = 10, activation = ActivationFunction.RELU)
  @Activation(ActivationFunction.SIGMOID)
  @Dropout(0.1)
  @Residual
  MoE experts();

  /** Reads what the experts made of them. */
  @Lstm(units = 32, projection = 24)
  @Dropout(0.1)
  @Residual
  Layer above();

  /** The probability of each next word. */
  @Softmax(vocabulary = 200, samples = 64)
  Layer next();
}
