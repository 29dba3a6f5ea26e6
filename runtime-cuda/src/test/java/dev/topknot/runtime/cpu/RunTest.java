package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.runtime.program.Init;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Layout.Entry;
import java.util.BitSet;
import java.util.List;
import org.junit.jupiter.api.Test;

class RunTest {
  private static final Layout LAYOUT =
      Layout.of(
          "Spec",
          List.of(
              new Entry("a", "weight", 1, 2, 2, 0, Init.ZERO, 0),
              new Entry("moe", "experts.*.w1", 2, 2, 2, 64, Init.ZERO, 1),
              new Entry("moe", "gate", 1, 2, 2, 128, Init.ZERO, 1)));

  @Test
  void knowsWhatIsFrozen() {
    BitSet frozen = new BitSet();
    Run run = new Run(4, LAYOUT, frozen);
    assertThat(run.nothingFrozen()).isTrue();
    assertThat(run.frozen("moe")).isFalse();
    frozen.set(2);
    assertThat(run.nothingFrozen()).isFalse();
    assertThat(run.frozen(1, 0)).isFalse();
    assertThat(run.frozen(1, 1)).isTrue();
    assertThat(run.frozen(2, 0)).isFalse();
    assertThat(run.frozen("moe")).isFalse();
    frozen.set(1, 4);
    assertThat(run.frozen("moe")).isTrue();
    assertThat(run.frozen("a")).isFalse();
  }

  @Test
  void findsTheFirstTensorThatIsNotFinite() {
    try (Arena arena = Arena.allocate(256)) {
      Run run = new Run(4, LAYOUT, new BitSet());
      Matrix fine = arena.matrix(0, 4, 3);
      Matrix pairs = arena.matrix(64, 8, 2);
      Matrix other = arena.matrix(128, 3, 3);
      Matrix losses = arena.matrix(192, 1, 4);
      run.train(2, 0, 0, 0);
      CpuProgram program =
          r -> {
            r.produced("fine", fine);
            r.produced("pairs", pairs);
            r.produced("other", other);
            r.produced("losses", losses);
          };
      assertThat(run.diagnose(program)).isNull();
      fine.set(2, 0, Float.NaN);
      pairs.set(4, 0, Float.NaN);
      losses.set(0, 2, Float.NaN);
      assertThat(run.diagnose(program)).as("rows beyond the valid tokens").isNull();
      losses.set(0, 1, Float.NaN);
      assertThat(run.diagnose(program)).isEqualTo("losses");
      other.set(2, 2, Float.NEGATIVE_INFINITY);
      assertThat(run.diagnose(program)).isEqualTo("other");
      pairs.set(3, 1, Float.NaN);
      assertThat(run.diagnose(program)).isEqualTo("pairs");
      fine.set(1, 2, Float.POSITIVE_INFINITY);
      assertThat(run.diagnose(program)).isEqualTo("fine");
    }
  }
}
