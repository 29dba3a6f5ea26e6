package dev.topknot.processor.plan;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.model.LayerKind;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class KernelNamesTest {
  private static Map<KernelNames.Struct, List<Op>> structs(Plan plan) {
    return new KernelNames(plan).structs();
  }

  private static KernelNames.Struct struct(Plan plan, String name) {
    return structs(plan).keySet().stream()
        .filter(it -> it.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void theOpsOfALayerShareAStruct() {
    Plan plan = Planner.plan(Specs.layer(Specs.moe(64, 4, 256, ActivationFunction.RELU), 128, 640));

    assertThat(structs(plan).keySet().stream().map(KernelNames.Struct::name))
        .containsExactly("Layer", "Parameters");
    assertThat(struct(plan, "Layer").own())
        .contains(new Constant("k", 4), new Constant("activation", ActivationFunction.RELU));
  }

  @Test
  void anOpThatContradictsItsLayerHasWhatIsItsOwn() {
    Plan plan = Planner.plan(Specs.newsModel());

    KernelNames.Struct pointwise = struct(plan, "ExpertsPointwise");

    assertThat(pointwise.base()).contains(struct(plan, "ExpertsLayer"));
    assertThat(pointwise.own())
        .containsExactly(
            new Constant("activation", ActivationFunction.SIGMOID), new Constant("residual", true));
  }

  @Test
  void everyOpFindsItsConstants() {
    structs(Planner.plan(Specs.newsModel()))
        .forEach(
            (struct, ops) ->
                ops.forEach(
                    op ->
                        assertThat(op.traits())
                            .allSatisfy(
                                it -> assertThat(value(struct, it.name())).isEqualTo(it.value()))));
  }

  /** As C++ looks a member up. */
  private static Object value(KernelNames.Struct struct, String name) {
    return struct.own().stream()
        .filter(it -> it.name().equals(name))
        .map(Constant::value)
        .findFirst()
        .orElseGet(() -> value(struct.base().orElseThrow(), name));
  }

  @Test
  void generationDerivesWhatDiffers() {
    Plan plan = Planner.plan(Specs.newsModel());

    assertThat(struct(plan, "GenerateBelowLayer").base()).contains(struct(plan, "BelowLayer"));
    assertThat(struct(plan, "GenerateBelowLayer").own())
        .containsExactly(
            new Constant("batch", 1), new Constant("timesteps", 1), new Constant("tokens", 1));
  }

  @Test
  void aModelOfOneTokenHasNoKernelsOfItsOwnForGeneration() {
    Plan plan = Planner.plan(Specs.model(1, 1, 11, 8, Specs.named("a", new LayerKind.Lstm(8))));

    assertThat(structs(plan).keySet()).noneMatch(KernelNames.Struct::generate);
  }

  @Test
  void namesThatDifferInCaseOrUnderscoresOnlyStayApart() {
    Plan plan =
        Planner.plan(
            Specs.model(
                2,
                3,
                11,
                8,
                Specs.named("layer", new LayerKind.Lstm(8)),
                Specs.named("Layer", new LayerKind.Lstm(8)),
                Specs.named("_layer", new LayerKind.Lstm(8)),
                Specs.named("generateLayer", new LayerKind.Lstm(8))));
    KernelNames names = new KernelNames(plan);

    assertThat(names.structs().keySet().stream().map(KernelNames.Struct::name))
        .doesNotHaveDuplicates();
    assertThat(names.prefixes().values()).doesNotHaveDuplicates();
  }
}
