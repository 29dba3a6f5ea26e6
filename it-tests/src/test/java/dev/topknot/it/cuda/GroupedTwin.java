package dev.topknot.it.cuda;

import dev.topknot.dsl.Dropout;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Hierarchy;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Residual;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;

/** A model with two levels of gates, small enough for an emulator. */
@MoEModel(batch = 4, timesteps = 5)
public interface GroupedTwin extends LanguageModel {
  /** Word vectors. */
  @Embedding(vocabulary = 90, width = 24)
  Layer words();

  /** 2 experts in each of 2 of 4 groups for each token. */
  @MoELayer(experts = 20, k = 2)
  @Hierarchy(groups = 4, k = 2)
  @Expert(hidden = 10)
  @Dropout(0.1)
  @Residual
  MoE experts();

  /** The probability of each next word. */
  @Softmax(vocabulary = 90)
  Layer next();
}
