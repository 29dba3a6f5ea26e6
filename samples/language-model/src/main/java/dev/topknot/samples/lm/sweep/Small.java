package dev.topknot.samples.lm.sweep;

import static dev.topknot.dsl.ActivationFunction.RELU;
import static dev.topknot.dsl.ActivationFunction.SIGMOID;

import dev.topknot.dsl.Activation;
import dev.topknot.dsl.Dropout;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Hierarchy;
import dev.topknot.dsl.Lstm;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Residual;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;

/**
 * The models of the sweeps in a size for two cores and some hours.
 *
 * <p>As in [S17] appendix C a model is an embedding of width d, an LSTM of d units, experts,
 * another LSTM and a softmax; an expert has 2 d hidden units. So 4 experts, one of 8 d, one of four
 * layers of 2 d, and two more LSTMs do the same number of operations for each token, 16 d²
 * multiply-adds, to which a gate adds 2 d for each expert or group that it chooses from.
 */
public final class Small {
  private static final int BATCH = 32;
  private static final int TIMESTEPS = 20;
  private static final int WORDS = 10_000;
  private static final int D = 64;
  private static final double DROPOUT = 0.1;

  private Small() {}

  // spotless:off
  /** Four LSTMs and no experts. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Lstm4 extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer first();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer second();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer third();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer fourth();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** One expert as wide as four together. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe1Wide extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer below();
    @MoELayer(experts = 1, k = 1) @Expert(hidden = 8 * D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** One expert of four hidden layers. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe1Deep extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer below();
    @MoELayer(experts = 1, k = 1) @Expert(hidden = {2 * D, 2 * D, 2 * D, 2 * D}, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** 4 experts, all for every token. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe4 extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer below();
    @MoELayer(experts = 4, k = 4) @Expert(hidden = 2 * D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** 32 experts, of which each token goes to 4. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe32 extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer below();
    @MoELayer(experts = 32, k = 4) @Expert(hidden = 2 * D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** The same, trained with batches eight times as large. */
  @MoEModel(batch = 8 * BATCH, timesteps = TIMESTEPS)
  public interface Moe32Batch extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer below();
    @MoELayer(experts = 32, k = 4) @Expert(hidden = 2 * D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** 256 experts, of which each token goes to 4. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe256 extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer below();
    @MoELayer(experts = 256, k = 4) @Expert(hidden = 2 * D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** 256 experts in 16 groups, of which each token goes to 2 in 2. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe256H extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer below();
    @MoELayer(experts = 256, k = 2) @Hierarchy(groups = 16, k = 2) @Expert(hidden = 2 * D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** 1024 experts in 32 groups, of which each token goes to 2 in 2. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe1024H extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer below();
    @MoELayer(experts = 1024, k = 2) @Hierarchy(groups = 32, k = 2) @Expert(hidden = 2 * D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** 4096 experts in 64 groups, of which each token goes to 2 in 2. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe4096H extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D)                           Layer words();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer below();
    @MoELayer(experts = 4096, k = 2) @Hierarchy(groups = 64, k = 2) @Expert(hidden = 2 * D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D) @Dropout(DROPOUT) @Residual                        Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** Four LSTMs of half the width. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Lstm4Half extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D / 2)                       Layer words();
    @Lstm(units = D / 2) @Dropout(DROPOUT) @Residual                    Layer first();
    @Lstm(units = D / 2) @Dropout(DROPOUT) @Residual                    Layer second();
    @Lstm(units = D / 2) @Dropout(DROPOUT) @Residual                    Layer third();
    @Lstm(units = D / 2) @Dropout(DROPOUT) @Residual                    Layer fourth();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** Four LSTMs of twice the width. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Lstm4Twice extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = 2 * D)                       Layer words();
    @Lstm(units = 2 * D) @Dropout(DROPOUT) @Residual                    Layer first();
    @Lstm(units = 2 * D) @Dropout(DROPOUT) @Residual                    Layer second();
    @Lstm(units = 2 * D) @Dropout(DROPOUT) @Residual                    Layer third();
    @Lstm(units = 2 * D) @Dropout(DROPOUT) @Residual                    Layer fourth();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** 32 experts at half the width. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe32Half extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = D / 2)                       Layer words();
    @Lstm(units = D / 2) @Dropout(DROPOUT) @Residual                    Layer below();
    @MoELayer(experts = 32, k = 4) @Expert(hidden = D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = D / 2) @Dropout(DROPOUT) @Residual                    Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }

  /** 32 experts at twice the width. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS)
  public interface Moe32Twice extends LanguageModel {
    @Embedding(vocabulary = WORDS, width = 2 * D)                       Layer words();
    @Lstm(units = 2 * D) @Dropout(DROPOUT) @Residual                    Layer below();
    @MoELayer(experts = 32, k = 4) @Expert(hidden = 4 * D, activation = RELU)
        @Activation(SIGMOID) @Dropout(DROPOUT) @Residual                MoE experts();
    @Lstm(units = 2 * D) @Dropout(DROPOUT) @Residual                    Layer above();
    @Softmax(vocabulary = WORDS)                                        Layer next();
  }
  // spotless:on
}
