package dev.topknot.processor.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.model.ExpertKind;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.ModelSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Rows of [S17] table 7: ops/timestep and parameters in millions. */
class CountsTest {
  @ParameterizedTest
  @CsvSource({
    "4xLSTM-512, 4, 0, 0, 0, 0, 8388608, 8388608, 8.4, 8.4",
    "MoE-1-Wide, 2, 1, 0, 1, 4096, 8388608, 8388608, 8.4, 8.4",
    "MoE-4, 2, 4, 0, 4, 1024, 8392704, 8392704, 8.4, 8.4",
    "MoE-32, 2, 32, 0, 4, 1024, 8421376, 37781504, 8.4, 37.8",
    "MoE-256, 2, 256, 0, 4, 1024, 8650752, 272891904, 8.6, 272.9",
    "MoE-256-h, 2, 256, 16, 2, 1024, 8437760, 272908288, 8.4, 272.9",
    "MoE-1024-h, 2, 1024, 16, 2, 1024, 8536064, 1079001088, 8.5, 1079.0",
    "MoE-4096-h, 2, 4096, 16, 2, 1024, 8929280, 4303372288, 8.9, 4303.4"
  })
  void table7(
      String name,
      int lstms,
      int experts,
      int groups,
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
      MoE moe = new MoE(experts, groups, k, hidden);
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

  /** LSTMs that project their output, in front of the softmax or below and above experts. */
  @Test
  void projectedLstm() {
    LayerKind.Lstm one = new LayerKind.Lstm(2048, OptionalInt.of(512));
    Counts counts = Counts.of(Specs.model(32, 20, 10_000, 512, Specs.named("lstm", one)));
    assertThat(counts.opsPerTimestep()).isEqualTo(9_437_184);
    assertThat(counts.parameters()).isEqualTo(9_437_184);
    assertThat(counts.parameters() / 1e6).isCloseTo(9.4, within(0.05));
  }

  /** MoE-1-Deep: 2 LSTM, one expert of four hidden layers. */
  @Test
  void deep() {
    ExpertKind expert =
        new ExpertKind(1, List.of(1024, 1024, 1024, 1024), ActivationFunction.RELU, false);
    ModelSpec.Layer layer =
        Specs.named(
            "moe",
            new LayerKind.Experts(
                Specs.withKinds(Specs.moe(1, 1, 1024, ActivationFunction.RELU), false, expert)));
    ModelSpec.Layer lstm = Specs.named("lstm", new LayerKind.Lstm(512, OptionalInt.empty()));
    Counts counts = Counts.of(Specs.model(32, 20, 10_000, 512, lstm, layer, lstm));
    assertThat(counts).isEqualTo(new Counts(8_388_608, 8_388_608));
  }

  /** Of each kind its part of k experts, of the shared ones all, and the gate's two matrices. */
  @Test
  void kinds() {
    long small = 2 * 40 * 24;
    long deep = 40 * 12 + 12 * 30 + 30 * 40;
    long gated = 3 * 40 * 16;
    long shared = 2 * (2 * 40 * 8) + (40 * 8 + 8 * 6 + 6 * 4 + 4 * 40);
    long gate = 2 * 40 * 5;
    assertThat(Counts.of(Specs.layer(Specs.kinds(true), 40, 33)))
        .isEqualTo(
            new Counts(
                gate + 2 * small + 2 * deep + gated + shared,
                gate + 2 * (2 * small + 2 * deep + gated) / 5 + shared));
  }

  /** With groups, a token goes to k experts in each of two. */
  private record MoE(int experts, int groups, int k, int hidden) {
    ModelSpec.Layer layer() {
      dev.topknot.processor.model.MoE flat = Specs.moe(experts, k, hidden, ActivationFunction.RELU);
      return Specs.named(
          "moe", new LayerKind.Experts(groups == 0 ? flat : Specs.inGroups(flat, groups, 2)));
    }
  }
}
