package demo;

import dev.topknot.dsl.Expert;
import dev.topknot.dsl.MoELayer;
import dev.topknot.runtime.MoE;

/** Two of four small experts for each token. */
@MoELayer(experts = 4, k = 2, width = 8, tokens = 16)
@Expert(hidden = 16)
public interface Experts extends MoE, Named, Named.Titled {}
