package dev.topknot.samples.table7;

import static dev.topknot.dsl.ActivationFunction.RELU;
import static dev.topknot.dsl.ActivationFunction.SIGMOID;
import static dev.topknot.dsl.Optimizer.ADAM_FACTORED;
import static dev.topknot.dsl.Precision.BF16;

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
 * The language models of [S17] table 7 and appendix C for the 1-Billion-Word benchmark, with its
 * vocabulary. All but the last two take about 8.4 million multiply-adds a token; what grows is the
 * number of parameters. Dropout is that of the table; the softmax is sampled in training.
 */
public final class Table7 {
  static final int VOCABULARY = 793_471;
  static final int BATCH = 128;
  static final int TIMESTEPS = 20;
  static final int SAMPLES = 8192;

  private Table7() {}

  // spotless:off

  /** LSTM-2048-512: one wide recurrent layer, its output projected. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16)
  public interface Lstm2048Projected512 extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.1) Layer words();
    @Lstm(units = 2048, projection = 512) @Dropout(0.1) @Residual Layer recurrent();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** 4xLSTM-512: recurrent layers in the place of experts. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16)
  public interface FourLstm512 extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.1) Layer words();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer first();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer second();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer third();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer fourth();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-1-Wide: one expert with a wide hidden layer, no gate. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16)
  public interface MoE1Wide extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.1) Layer words();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer below();
    @MoELayer(experts = 1, k = 1)
    @Expert(hidden = 4096, activation = RELU) @Activation(SIGMOID) @Dropout(0.1) @Residual MoE experts();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-1-Deep: one expert with four hidden layers, no gate. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16)
  public interface MoE1Deep extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.1) Layer words();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer below();
    @MoELayer(experts = 1, k = 1)
    @Expert(hidden = {1024, 1024, 1024, 1024}, activation = RELU) @Activation(SIGMOID) @Dropout(0.1) @Residual MoE experts();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-4: all of four experts, weighed. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16)
  public interface MoE4 extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.1) Layer words();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer below();
    @MoELayer(experts = 4, k = 4)
    @Expert(hidden = 1024, activation = RELU) @Activation(SIGMOID) @Dropout(0.1) @Residual MoE experts();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-32: 4 of 32 experts. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16)
  public interface MoE32 extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.1) Layer words();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer below();
    @MoELayer(experts = 32, k = 4)
    @Expert(hidden = 1024, activation = RELU) @Activation(SIGMOID) @Dropout(0.1) @Residual MoE experts();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-256: 4 of 256 experts. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16)
  public interface MoE256 extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.1) Layer words();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer below();
    @MoELayer(experts = 256, k = 4)
    @Expert(hidden = 1024, activation = RELU) @Activation(SIGMOID) @Dropout(0.1) @Residual MoE experts();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-256-h: 2 of 16 groups, 2 of 16 experts in each. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16)
  public interface MoE256Hierarchical extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.1) Layer words();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer below();
    @MoELayer(experts = 256, k = 2) @Hierarchy(groups = 16, k = 2)
    @Expert(hidden = 1024, activation = RELU) @Activation(SIGMOID) @Dropout(0.1) @Residual MoE experts();
    @Lstm(units = 512) @Dropout(0.1) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-1024-h: 2 of 16 groups, 2 of 64 experts in each. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16, optimizer = ADAM_FACTORED)
  public interface MoE1024Hierarchical extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.2) Layer words();
    @Lstm(units = 512) @Dropout(0.2) @Residual Layer below();
    @MoELayer(experts = 1024, k = 2) @Hierarchy(groups = 16, k = 2)
    @Expert(hidden = 1024, activation = RELU) @Activation(SIGMOID) @Dropout(0.2) @Residual MoE experts();
    @Lstm(units = 512) @Dropout(0.2) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-4096-h: 2 of 16 groups, 2 of 256 experts in each. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16, optimizer = ADAM_FACTORED)
  public interface MoE4096Hierarchical extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 512) @Dropout(0.2) Layer words();
    @Lstm(units = 512) @Dropout(0.2) @Residual Layer below();
    @MoELayer(experts = 4096, k = 2) @Hierarchy(groups = 16, k = 2)
    @Expert(hidden = 1024, activation = RELU) @Activation(SIGMOID) @Dropout(0.2) @Residual MoE experts();
    @Lstm(units = 512) @Dropout(0.2) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-34M: twice as wide, 2 of 16 groups, 2 of 64 experts in each. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16, optimizer = ADAM_FACTORED)
  public interface MoE34M extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 1024) @Dropout(0.3) Layer words();
    @Lstm(units = 1024) @Dropout(0.3) @Residual Layer below();
    @MoELayer(experts = 1024, k = 2) @Hierarchy(groups = 16, k = 2)
    @Expert(hidden = 2048, activation = RELU) @Activation(SIGMOID) @Dropout(0.3) @Residual MoE experts();
    @Lstm(units = 1024) @Dropout(0.3) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  /** MoE-143M: few and large experts between projected recurrent layers. */
  @MoEModel(batch = BATCH, timesteps = TIMESTEPS, precision = BF16, optimizer = ADAM_FACTORED)
  public interface MoE143M extends LanguageModel {
    @Embedding(vocabulary = VOCABULARY, width = 1024) @Dropout(0.4) Layer words();
    @Lstm(units = 4096, projection = 1024) @Dropout(0.4) @Residual Layer below();
    @MoELayer(experts = 256, k = 2) @Hierarchy(groups = 16, k = 2)
    @Expert(hidden = 8192, activation = RELU) @Activation(SIGMOID) @Dropout(0.4) @Residual MoE experts();
    @Lstm(units = 4096, projection = 1024) @Dropout(0.4) @Residual Layer above();
    @Softmax(vocabulary = VOCABULARY, samples = SAMPLES) Layer next();
  }

  // spotless:on
}
