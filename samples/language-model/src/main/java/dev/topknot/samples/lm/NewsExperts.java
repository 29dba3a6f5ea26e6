package dev.topknot.samples.lm;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.MoELayer;
import dev.topknot.runtime.MoE;

/** 64 small experts, of which each token goes to 4. */
@MoELayer(experts = 64, k = 4, width = 128, tokens = 640)
@Expert(hidden = 256, activation = ActivationFunction.RELU)
public interface NewsExperts extends MoE {}
