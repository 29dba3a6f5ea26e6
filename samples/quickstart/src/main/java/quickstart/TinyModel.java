package quickstart;

import static dev.topknot.dsl.ActivationFunction.SIGMOID;

import dev.topknot.dsl.Activation;
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

/** Predicts the next character. javac compiles it to TopknotTinyModel. */
@MoEModel(batch = 8, timesteps = 16)
public interface TinyModel extends LanguageModel {
  /** A vector for each ASCII character. */
  @Embedding(vocabulary = 128, width = 64)
  Layer characters();

  /** What came before. */
  @Lstm(units = 64)
  @Residual
  Layer memory();

  /** Two of eight experts for each character. */
  @MoELayer(experts = 8, k = 2)
  @Expert(hidden = 64)
  @Activation(SIGMOID)
  @Residual
  MoE experts();

  /** Probabilities of the next character. */
  @Softmax(vocabulary = 128)
  Layer next();
}
