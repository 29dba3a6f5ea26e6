package dev.topknot.processor.plan;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
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
