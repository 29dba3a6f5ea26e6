package demo;

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

/** A model of a language of eleven words. */
@MoEModel(batch = 4, timesteps = 6)
public interface TinyModel extends LanguageModel {
  /** The words as vectors. */
  @Embedding(vocabulary = 11, width = 16)
  Layer words();

  /** What was said before. */
  @Lstm(units = 16)
  @Residual
  Layer below();

  /** Two of four experts. */
  @MoELayer(experts = 4, k = 2)
  @Expert(hidden = 16)
  @Activation(SIGMOID)
  @Dropout(0.1)
  @Residual
  MoE experts();

  /** The next word. */
  @Softmax(vocabulary = 11)
  Layer next();
}
