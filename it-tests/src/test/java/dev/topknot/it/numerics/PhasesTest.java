package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.topknot.runtime.cpu.Phases;
import dev.topknot.runtime.program.Phase;
import dev.topknot.runtime.program.Phase.Product;
import dev.topknot.runtime.program.Program;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The steps that {@link Phases} times are those of the plan, and all of a call is in them. */
class PhasesTest {
  private static final int TOKENS = 150;
  private static final int WIDTH = 70;
  private static final int EXPERTS = 3;
  private static final int SLOTS = 2 * TOKENS;
  private static final int HIDDEN = 33;

  @Test
  void aLayer() throws ReflectiveOperationException {
    Phases.Result result = Phases.measure(Specs.Three.class, 2);

    assertThat(result.programs())
        .extracting(Phases.Times::program)
        .containsExactly(Program.TRAIN, Program.EVALUATE);
    List<Phases.Timed> steps = result.programs().get(0).steps();
    assertThat(steps)
        .extracting(it -> it.phase().call())
        .containsExactly(
            "NoisyTopKGate.forward",
            "Dispatch.forward",
            "SwigluExperts.forward",
            "Combine.forward",
            "SwigluExperts.backward",
            "Combine.backward",
            "NoisyTopKGate.backward",
            "Adam.norm",
            "Adam.update");
    Phase experts = steps.get(2).phase();
    assertThat(experts.products())
        .containsExactly(
            Product.forward(SLOTS, EXPERTS, WIDTH, HIDDEN),
            Product.forward(SLOTS, EXPERTS, WIDTH, HIDDEN),
            Product.forward(SLOTS, EXPERTS, HIDDEN, WIDTH));
    assertThat(experts.flops()).isEqualTo(3L * 2 * SLOTS * WIDTH * HIDDEN);
    // weights and the tokens are read, gathered rows and what is kept are written
    assertThat(experts.traffic())
        .isGreaterThan(4L * (3L * EXPERTS * WIDTH * HIDDEN + TOKENS * WIDTH + 2 * SLOTS * WIDTH));
    for (Phases.Times times : result.programs()) {
      assertThat(times.steps()).allMatch(it -> it.seconds() > 0);
      assertThat(times.steps().stream().mapToDouble(Phases.Timed::seconds).sum())
          .isBetween(times.seconds() / 2, times.seconds() * 2);
    }
    assertThat(result.flopsPerSecond()).isPositive();
    assertThat(result.bytesPerSecond()).isPositive();
  }

  @Test
  void aModel() throws ReflectiveOperationException {
    Phases.Result result = Phases.measure(Specs.Model.class, 1);
    assertThat(result.programs().get(0).steps())
        .extracting(it -> it.phase().layer() + " " + it.phase().call())
        .startsWith("words Embedding.forward", "words Pointwise.forward")
        .contains("experts Experts.backward", "below Lstm.commit")
        .endsWith(" Adam.norm", " Adam.update");
    assertThat(result.programs().get(0).steps()).allMatch(it -> it.seconds() > 0);
  }

  @Test
  void anotherOptimizer() throws ReflectiveOperationException {
    List<Phases.Timed> steps =
        Phases.measure(AdamFactoredTest.Lines.class, 1).programs().get(0).steps();
    assertThat(steps)
        .extracting(it -> it.phase().call())
        .endsWith("AdamFactored.norm", "AdamFactored.update");
    assertThat(steps).allMatch(it -> it.seconds() > 0);
  }

  @Test
  void unknown() {
    assertThatThrownBy(() -> Phases.measure(PhasesTest.class, 1))
        .isInstanceOf(ClassNotFoundException.class)
        .hasMessageContaining("dev.topknot.it.numerics.TopknotPhasesTest")
        .hasMessageContaining("annotated interface");
  }
}
