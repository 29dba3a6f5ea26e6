package dev.topknot.processor.plan;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.processor.model.ExpertKind;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.MoE;
import dev.topknot.processor.model.Spec;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class PlannerTest {
  static Stream<Spec> specs() {
    List<Spec> specs = new ArrayList<>();
    specs.add(Specs.newsModel());
    LayerKind projected = new LayerKind.Lstm(24, OptionalInt.of(9));
    specs.add(Specs.sampled(Specs.model(3, 7, 101, 40, Specs.named("lstm", projected)), 20));
    for (ActivationFunction activation : ActivationFunction.values()) {
      for (Gating gating : Gating.values()) {
        MoE moe = Specs.withGating(Specs.moe(5, 2, 24, activation), gating);
        specs.add(Specs.layer(moe, 40, 33));
        specs.add(
            Specs.model(
                3,
                7,
                101,
                40,
                Specs.named("dense", new LayerKind.Dense(40, ActivationFunction.GELU)),
                Specs.residual("moe", new LayerKind.Experts(moe), ActivationFunction.TANH),
                Specs.named("plain", new LayerKind.Experts(moe))));
      }
      specs.add(Specs.layer(Specs.moe(1, 1, 24, activation), 8, 1));
      MoE grouped = Specs.inGroups(Specs.moe(12, 2, 24, activation), 3, 2);
      specs.add(Specs.layer(grouped, 40, 33));
      specs.add(
          Specs.model(
              3,
              7,
              101,
              40,
              Specs.residual("moe", new LayerKind.Experts(grouped), ActivationFunction.TANH)));
    }
    for (boolean recompute : new boolean[] {false, true}) {
      LayerKind kinds = new LayerKind.Experts(Specs.kinds(recompute));
      specs.add(Specs.layer(Specs.kinds(recompute), 40, 33));
      specs.add(
          Specs.model(
              3,
              7,
              101,
              40,
              Specs.residual("below", kinds, ActivationFunction.TANH),
              Specs.named("above", kinds)));
    }
    return specs.stream();
  }

  @ParameterizedTest
  @MethodSource("specs")
  void everythingReadWasWrittenBefore(Spec spec) {
    for (ProgramPlan program : Planner.plan(spec).programs()) {
      Set<Buffer> written = new HashSet<>();
      for (Call call : program.calls()) {
        for (Operand operand : call.operands()) {
          Buffer buffer = operand.buffer();
          boolean produced =
              buffer.region() == Region.WORKSPACE
                  || List.of("y", "dx").contains(buffer.name())
                  || buffer.region() == Region.GRADIENTS;
          if (operand.access() == Operand.Access.WRITE) {
            written.add(buffer);
          } else if (produced) {
            assertThat(written).as("%s in %s", buffer, call).contains(buffer);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("specs")
  void buffersThatLiveAtTheSameTimeDoNotOverlap(Spec spec) {
    for (ProgramPlan program : Planner.plan(spec).programs()) {
      List<Memory.Placement> placements = program.workspace().placements();
      for (Memory.Placement a : placements) {
        assertThat(a.offset() % Memory.ALIGNMENT).isZero();
        assertThat(a.offset() + a.buffer().size()).isLessThanOrEqualTo(program.workspace().size());
        for (Memory.Placement b : placements) {
          boolean together = a.first() <= b.last() && b.first() <= a.last();
          boolean overlap =
              a.offset() < b.offset() + b.buffer().size()
                  && b.offset() < a.offset() + a.buffer().size();
          assertThat(!a.equals(b) && together && overlap).as("%s and %s", a, b).isFalse();
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("specs")
  void everyTrainedParameterGetsItsGradientOnce(Spec spec) {
    Plan plan = Planner.plan(spec);
    List<String> gradients =
        plan.program(Program.TRAIN).calls().stream()
            .flatMap(call -> call.operands().stream())
            .map(Operand::buffer)
            .filter(buffer -> buffer.region() == Region.GRADIENTS)
            .map(Buffer::name)
            .toList();
    assertThat(gradients)
        .containsExactlyInAnyOrderElementsOf(
            plan.parameters().stream().map(Parameter::fullName).toList());
  }

  @ParameterizedTest
  @MethodSource("specs")
  void parametersFillTheArenaWithoutOverlap(Spec spec) {
    Plan plan = Planner.plan(spec);
    long end = 0;
    for (Parameter parameter : plan.parameters()) {
      assertThat(parameter.offset()).isEqualTo(Memory.align(end));
      end = parameter.offset() + parameter.size();
    }
    assertThat(plan.parameterArena()).isEqualTo(Memory.align(end));
  }

  @Test
  void evaluationKeepsNothingForABackwardPass() {
    Plan plan = Planner.plan(Specs.newsModel());
    long train = plan.program(Program.TRAIN).workspace().size();
    long evaluate = plan.program(Program.EVALUATE).workspace().size();
    assertThat(evaluate).isLessThan(train);
    assertThat(plan.program(Program.EVALUATE).calls())
        .noneMatch(call -> call.method().equals("backward"));
    assertThat(plan.program(Program.GENERATE).tokens()).isEqualTo(1);
  }

  /** Without noise only the chosen logits have a gradient; the largest of a softmax is of all. */
  @ParameterizedTest
  @CsvSource({
    "TOP_K, 64, 2, true",
    "TOP_K, 63, 2, false",
    "SOFTMAX_TOP_K, 64, 2, true",
    "SOFTMAX_TOP_K, 4096, 1, false",
    "SOFTMAX, 64, 64, false"
  })
  void aGateOfManyExpertsHasASparseGradient(Gating gating, int experts, int k, boolean sparse) {
    MoE moe = Specs.withGating(Specs.moe(experts, k, 8, ActivationFunction.RELU), gating);
    LayerPlan layer = Planner.plan(Specs.layer(moe, 16, 32)).program(Program.TRAIN).layers().get(0);
    Op gate = layer.forward().get(0).op();
    assertThat(gate.constants()).contains(new Constant("sparse", sparse));
    assertThat(gate.products("backward")).hasSize(sparse ? 0 : 2);
    assertThat(gate.traits()).extracting(Constant::name).doesNotContain("sparse");
  }

  /** The candidates and targets of a batch in training, the full softmax without a gradient. */
  @Test
  void onlyTrainingSamplesTheSoftmax() {
    Plan plan = Planner.plan(Specs.sampled(Specs.model(32, 20, 100_000, 8), 8192));
    for (ProgramPlan program : plan.programs()) {
      Op op = program.layers().get(1).forward().get(0).op();
      boolean training = program.program() == Program.TRAIN;
      assertThat(op.type()).isEqualTo(training ? "SampledSoftmaxLoss" : "SoftmaxLoss");
      assertThat(program.layers().get(1).locals().get("logits").columns())
          .isEqualTo(training ? 8192 + 640 : 100_000);
    }
    assertThat(DeviceCalls.complete(plan)).isTrue();
  }

  /** Hidden layers do not outlive the forward pass; the backward pass multiplies once more. */
  @Test
  void recomputingTakesLessMemoryAndMoreFlops() {
    Plan kept = twoLayers(false);
    Plan recomputed = twoLayers(true);
    assertThat(workspace(recomputed)).isLessThan(workspace(kept));
    // 21 tokens, 2 of 4 experts each, one product more of 40 by 600, in either layer
    assertThat(flops(recomputed) - flops(kept)).isEqualTo(2L * (2 * 21 * 2) * 40 * 600);
    LayerPlan below = recomputed.program(Program.TRAIN).layers().get(1);
    assertThat(below.recomputed()).extracting(Call::method).containsExactly("recompute");
    assertThat(below.notKept()).extracting(Buffer::name).containsExactly("below.hiddenAgain");
  }

  private static Plan twoLayers(boolean recompute) {
    ExpertKind kind = new ExpertKind(4, List.of(600), ActivationFunction.RELU, false);
    MoE moe = Specs.withKinds(Specs.moe(4, 2, 600, ActivationFunction.RELU), recompute, kind);
    LayerKind experts = new LayerKind.Experts(moe);
    return Planner.plan(
        Specs.model(3, 7, 101, 40, Specs.named("below", experts), Specs.named("above", experts)));
  }

  private static long workspace(Plan plan) {
    return plan.program(Program.TRAIN).workspace().size();
  }

  private static long flops(Plan plan) {
    return plan.program(Program.TRAIN).calls().stream().mapToLong(c -> c.cost().flops()).sum();
  }

  /** Files number the experts of all kinds on, and the shared ones by themselves. */
  @Test
  void kindsOfExpertsHaveParametersOfTheirOwn() {
    assertThat(Planner.plan(Specs.layer(Specs.kinds(false), 40, 33)).parameters())
        .extracting(p -> p.name() + " " + p.copies())
        .containsExactly(
            "gate.weight 1",
            "noise.weight 1",
            "experts.*.w1 2",
            "experts.*.w2 2",
            "experts.2+*.w1 2",
            "experts.2+*.w2 2",
            "experts.2+*.w3 2",
            "experts.4+*.w1 1",
            "experts.4+*.w2 1",
            "experts.4+*.w3 1",
            "shared.0.w1 1",
            "shared.0.w2 1",
            "shared.1.w1 1",
            "shared.1.w2 1",
            "shared.2.w1 1",
            "shared.2.w2 1",
            "shared.2.w3 1",
            "shared.2.w4 1");
  }

  @Test
  void offsetsHaveSixtyFourBits() {
    MoE moe = Specs.moe(4096, 4, 1024, ActivationFunction.RELU);
    Plan plan = Planner.plan(Specs.layer(moe, 512, 16_384));
    Parameter w1 =
        plan.parameters().stream().filter(p -> p.name().contains("w1")).findFirst().orElseThrow();
    Parameter w2 =
        plan.parameters().stream().filter(p -> p.name().contains("w2")).findFirst().orElseThrow();
    assertThat(w1.size()).isEqualTo(1L << 31);
    assertThat(w2.offset()).isEqualTo(w1.offset() + (1L << 31));
    assertThat(plan.parameterCount()).isEqualTo(2L * 4096 * 512 + (1L << 32));
  }
}
