package dev.topknot.runtime.program;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.topknot.runtime.program.Layout.Entry;
import java.util.List;
import org.junit.jupiter.api.Test;

class LayoutTest {
  private static final Entry WEIGHT = new Entry("a", "weight", 1, 5, 4, 0, Init.ZERO, 0);
  private static final Entry BIAS = new Entry("a", "bias", 1, 1, 5, 64, Init.ZERO, 0);
  private static final Entry EXPERTS = new Entry("moe", "experts.*.w1", 3, 2, 7, 128, Init.ZERO, 1);

  @Test
  void namesEveryTensor() {
    Layout layout = Layout.of("Spec", List.of(WEIGHT, BIAS, EXPERTS));
    assertThat(layout.slices())
        .extracting(Layout.Slice::name)
        .containsExactly(
            "a.weight", "a.bias", "moe.experts.0.w1", "moe.experts.1.w1", "moe.experts.2.w1");
    assertThat(layout.slices().get(0).shape()).containsExactly(5, 4);
    assertThat(layout.slices().get(1).shape()).as("a bias is a vector").containsExactly(5);
    assertThat(layout.slices().get(3).offset()).isEqualTo(128 + 14);
    assertThat(layout.layers()).containsExactly("a", "moe");
    assertThat(layout.parameters()).isEqualTo(20 + 5 + 42);
    assertThat(layout.size()).isEqualTo(192);
    Layout alone = Layout.of("E", List.of(new Entry("", "experts.*.w1", 2, 1, 3, 0, Init.ZERO, 0)));
    assertThat(alone.slices().get(1).name()).isEqualTo("experts.1.w1");
    assertThat(alone.slices().get(1).shape()).as("a matrix of one row").containsExactly(1, 3);
  }

  @Test
  void copiesOfAKindAreNumberedOn() {
    Entry kind = new Entry("moe", "experts.48+*.w1", 16, 2, 7, 0, Init.ZERO, 1);
    assertThat(kind.fullName(0)).isEqualTo("moe.experts.48.w1");
    assertThat(kind.fullName(15)).isEqualTo("moe.experts.63.w1");
    Entry one = new Entry("", "experts.4+*.w2", 1, 2, 7, 0, Init.ZERO, 1);
    assertThat(one.fullName(0)).isEqualTo("experts.4.w2");
  }

  @Test
  void hashesNamesShapesAndOrder() {
    Entry first = new Entry("a", "weight", 1, 4, 4, 0, Init.ZERO, 0);
    Entry second = new Entry("b", "weight", 1, 4, 4, 64, Init.ZERO, 0);
    String hash = Layout.of("Spec", List.of(first, second)).hash();
    assertThat(hash).matches("[0-9a-f]{64}");
    assertThat(Layout.of("Other", List.of(first, second)).hash()).isEqualTo(hash);
    Entry secondFirst = new Entry("b", "weight", 1, 4, 4, 0, Init.ZERO, 0);
    Entry firstSecond = new Entry("a", "weight", 1, 4, 4, 64, Init.ZERO, 0);
    assertThat(Layout.of("Spec", List.of(secondFirst, firstSecond)).hash()).isNotEqualTo(hash);
    Entry wider = new Entry("b", "weight", 1, 4, 5, 64, Init.ZERO, 0);
    assertThat(Layout.of("Spec", List.of(first, wider)).hash()).isNotEqualTo(hash);
  }

  @Test
  void refusesOverlapsAndDoubles() {
    Entry overlapping = new Entry("b", "weight", 1, 20, 4, 0, Init.ZERO, 0);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Layout.of("Spec", List.of(overlapping, BIAS)))
        .withMessage("offset of a.bias must be a multiple of 64 and at least 80, but is 64");
    Entry unaligned = new Entry("b", "weight", 1, 5, 4, 72, Init.ZERO, 0);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Layout.of("Spec", List.of(WEIGHT, unaligned)));
    Entry again = new Entry("a", "weight", 1, 5, 4, 64, Init.ZERO, 0);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Layout.of("Spec", List.of(WEIGHT, again)))
        .withMessage("two parameters are named a.weight");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> new Entry("a", "w", 2, 1, 1, 0, Init.ZERO, 0));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> new Entry("a", "w", 1, 0, 1, 0, Init.ZERO, 0));
  }

  @Test
  void countsBeyondThirtyTwoBits() {
    Entry many = new Entry("moe", "experts.*.w1", 4096, 1024, 512, 0, Init.ZERO, 0);
    Layout layout = Layout.of("Big", List.of(many));
    assertThat(layout.parameters()).isEqualTo(1L << 31);
    assertThat(layout.slices().get(4095).offset()).isEqualTo(4095L << 19);
  }
}
