package dev.topknot.processor.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.ModelSpec;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The flat rows of [S17] table 7: ops/timestep and parameters in millions. */
class CountsTest {
  @ParameterizedTest
  @CsvSource({
    "4xLSTM-512, 4, 0, 0, 0, 8388608, 8388608, 8.4, 8.4",
    "MoE-1-Wide, 2, 1, 1, 4096, 8388608, 8388608, 8.4, 8.4",
    "MoE-4, 2, 4, 4, 1024, 8392704, 8392704, 8.4, 8.4",
    "MoE-32, 2, 32, 4, 1024, 8421376, 37781504, 8.4, 37.8",
    "MoE-256, 2, 256, 4, 1024, 8650752, 272891904, 8.6, 272.9"
  })
  void table7(
      String name,
      int lstms,
      int experts,
      int k,
      int hidden,
      long ops,
      long parameters,
      double paperOps,
      double paperParameters) {
    List<ModelSpec.Layer> layers = new ArrayList<>();
    for (int i = 0; i < lstms; i++) {
      layers.add(Specs.named("lstm" + i, new LayerKind.Lstm(512)));
    }
    if (experts > 0) {
      MoE moe = new MoE(experts, k, hidden);
      layers.add(Math.min(1, lstms), moe.layer());
    }
    ModelSpec model = Specs.model(32, 20, 10_000, 512, layers.toArray(ModelSpec.Layer[]::new));
    Counts counts = Counts.of(model);
    assertThat(counts.opsPerTimestep()).as(name).isEqualTo(ops);
    assertThat(counts.parameters()).as(name).isEqualTo(parameters);
    // The paper rounds some figures to one decimal and cuts others.
    assertThat(ops / 1e6).isCloseTo(paperOps, within(0.06));
    assertThat(parameters / 1e6).isCloseTo(paperParameters, within(0.05));
  }

  /** W_g and the experts, k of which are active; a threshold an expert. */
  @Test
  void strictlyBalanced() {
    Counts counts =
        Counts.of(
            Specs.layer(
                Specs.withGating(
                    Specs.moe(4, 2, 10, ActivationFunction.RELU), Gating.STRICTLY_BALANCED),
                3,
                8));
    assertThat(counts.opsPerTimestep()).isEqualTo(3 * 4 + 2 * (2 * 3 * 10));
    assertThat(counts.parameters()).isEqualTo(3 * 4 + 4 + 4 * (2 * 3 * 10));
  }

  private record MoE(int experts, int k, int hidden) {
    ModelSpec.Layer layer() {
      return Specs.named(
          "moe", new LayerKind.Experts(Specs.moe(experts, k, hidden, ActivationFunction.RELU)));
    }
  }
}
