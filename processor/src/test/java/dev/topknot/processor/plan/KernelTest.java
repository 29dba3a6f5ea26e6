package dev.topknot.processor.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import dev.topknot.processor.model.MoE;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class KernelTest {
  private static Kernel kernel(String name, Argument... arguments) {
    return Kernel.of(name, Grid.of(3), 64, 0, arguments);
  }

  @Test
  void refusesWhatCannotBeLaunched() {
    assertThatThrownBy(() -> Kernel.of("a", Grid.of(1), 33, 0)).hasMessageContaining("33 threads");
    Argument[] many = new Argument[25];
    Arrays.fill(many, Argument.run());
    assertThatThrownBy(() -> kernel("a", many)).hasMessageContaining("25 arguments");
  }

  @Test
  void whatNoDeviceLaunchesIsKnown() {
    assertThat(Kernel.of("a", Grid.of(1L << 31), 32, 0).excess()).isPresent();
    assertThat(Kernel.of("a", Grid.of(1, 65_536), 32, 0).excess()).isPresent();
    assertThat(Kernel.of("a", Grid.of(1, 1, 65_536), 32, 0).excess()).isPresent();
    assertThat(Kernel.of("a", Grid.of(1), 32, Kernel.MOST_SHARED + 1).excess()).isPresent();
    Grid largest = Grid.of(Integer.MAX_VALUE, 65_535, 65_535);
    assertThat(Kernel.of("a", largest, 32, Kernel.MOST_SHARED).excess()).isEmpty();
  }

  @Test
  void aPlanThatNoDeviceLaunchesIsNotComplete() {
    MoE many = Specs.moe(30_000, 2, 8, ActivationFunction.RELU);
    Plan plan = Planner.plan(Specs.layer(many, 8, 4));
    assertThat(DeviceCalls.complete(plan)).isFalse();
    assertThat(DeviceCalls.excess(plan).orElseThrow()).contains("Dispatch", "120000 bytes");
  }

  @Test
  void scratchOfOneNameIsTheSameMemory() {
    CallScratch scratch =
        CallScratch.of(
            List.of(
                kernel("a", Argument.scratch("x", 1), Argument.scratch("y", 257)),
                kernel("b", Argument.scratch("y", 257), Argument.scratch("z", 4))));
    assertThat(scratch.offsets()).containsEntry("x", 0L).containsEntry("y", 64L);
    assertThat(scratch.offsets()).containsEntry("z", 192L);
    assertThat(scratch.size()).isEqualTo(256);
    assertThatThrownBy(
            () ->
                CallScratch.of(
                    List.of(
                        kernel("a", Argument.scratch("x", 1)),
                        kernel("b", Argument.scratch("x", 2)))))
        .hasMessageContaining("scratch x of 1 bytes is 2 bytes in b");
  }

  /** Between them no other call runs. */
  @Test
  void theUpdateFindsWhatTheNormLeftInScratchMemory() {
    Plan plan = Planner.plan(Specs.withOptimizer(Specs.newsModel(), Optimizer.ADAM_FACTORED));
    CallScratch norm = CallScratch.of(DeviceCalls.norm(plan).get(0).kernels());
    CallScratch update = CallScratch.of(DeviceCalls.update(plan).get(0).kernels());
    assertThat(update.offsets()).containsOnlyKeys("rowSums", "columnSums");
    assertThat(norm.offsets()).containsAllEntriesOf(update.offsets());
  }

  @Test
  void neighboursThatRepeatAreOneLoop() {
    Kernel once = kernel("once");
    Kernel product = kernel("product", Argument.step(4, -1)).repeated(5);
    Kernel cell = kernel("cell").repeated(5);
    List<KernelLoop> loops = KernelLoop.of(List.of(once, once, product, cell, once));
    assertThat(loops).extracting(KernelLoop::times).containsExactly(1, 1, 5, 1);
    assertThat(loops.get(2).kernels()).containsExactly(product, cell);
    assertThat(loops.get(2).step()).contains(new Argument.Step(4, -1));
    Kernel other = kernel("other", Argument.step(0, 1)).repeated(5);
    assertThatThrownBy(() -> KernelLoop.of(List.of(product, other)))
        .hasMessageContaining("count differently");
  }

  /** Gates, the steps of an LSTM and all that is no product stay as they are. */
  @Test
  void inBf16TheProductsOfLayersHaveAnotherTile() {
    List<Kernel> exact = kernels(Planner.plan(Specs.newsModel()));
    List<Kernel> rounded = kernels(Planner.plan(Specs.inBf16(Specs.newsModel())));
    assertThat(rounded)
        .extracting(Kernel::name)
        .isEqualTo(exact.stream().map(Kernel::name).toList());
    Set<String> changed = new TreeSet<>();
    for (int i = 0; i < exact.size(); i++) {
      Kernel kernel = rounded.get(i);
      if (kernel.precision() == Precision.FP32) {
        assertThat(kernel).isEqualTo(exact.get(i));
      } else {
        int gates = kernel.name().equals("backward_hidden") ? 64 * Float.BYTES : 0;
        assertThat(kernel.sharedBytes()).isEqualTo(Tile.BF16.sharedBytes() + gates);
        assertThat(kernel.threads()).isEqualTo(Tile.BF16.threads());
        assertThat(kernel.cost()).isEqualTo(exact.get(i).cost());
        changed.add(kernel.name());
      }
    }
    assertThat(changed)
        .containsExactly(
            "backward_hidden",
            "backward_input",
            "backward_w1",
            "backward_w2",
            "backward_weight",
            "backward_wh",
            "backward_wx",
            "forward_hidden",
            "forward_input",
            "forward_logits",
            "forward_output");
  }

  /** The gates of Mixture-of-Experts layers have kernels of some of these names, too. */
  @Test
  void inBf16GatesAreInFp32() {
    Plan plan = Planner.plan(Specs.inBf16(Specs.newsModel()));
    List<Kernel> gates =
        plan.programs().stream()
            .flatMap(program -> DeviceCalls.all(plan, program).stream())
            .filter(call -> !(call.op() instanceof ProductOp))
            .flatMap(call -> call.kernels().stream())
            .toList();
    assertThat(gates).extracting(Kernel::name).contains("forward_logits", "backward_input");
    assertThat(gates).extracting(Kernel::precision).containsOnly(Precision.FP32);
  }

  private static List<Kernel> kernels(Plan plan) {
    return plan.programs().stream()
        .flatMap(program -> DeviceCalls.all(plan, program).stream())
        .flatMap(call -> call.kernels().stream())
        .toList();
  }

  @Test
  void everyCallHasKernelsWhoseArgumentsAreItsOperands() {
    Plan plan = Planner.plan(Specs.newsModel());
    assertThat(DeviceCalls.complete(plan)).isTrue();
    for (ProgramPlan program : plan.programs()) {
      for (Call call : DeviceCalls.all(plan, program)) {
        for (Kernel kernel : call.kernels()) {
          kernel.arguments().stream()
              .filter(Argument.OperandOfCall.class::isInstance)
              .map(it -> ((Argument.OperandOfCall) it).index())
              .forEach(index -> assertThat(index).isBetween(0, call.operands().size() - 1));
        }
      }
    }
  }
}
