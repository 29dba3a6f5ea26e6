package dev.topknot.processor.write.report;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Optimizer;
import dev.topknot.processor.model.LayerSpec;
import dev.topknot.processor.plan.Planner;
import dev.topknot.processor.plan.Specs;
import org.junit.jupiter.api.Test;

class ReportWriterTest {
  @Test
  void reportsParametersMemoryAndSteps() {
    String report = ReportWriter.write(Planner.plan(Specs.newsModel()));
    assertThat(report)
        .contains("# com.example.Model")
        .contains("| parameters | 7,043,856 |")
        .contains("| experts.experts.\\*.w1 | 64 × [256, 128] | 2,097,152 |")
        .contains("Experts.forward(x, offsets, rows, w1, w2, gathered, hidden, out) | 335.5 |")
        .contains("## Program for generation: at most 1 token");
  }

  @Test
  void withoutAnOptimizerThereIsNoUpdate() {
    LayerSpec adam = Specs.layer(Specs.moe(4, 2, 8, ActivationFunction.RELU), 8, 6);
    LayerSpec none =
        new LayerSpec(adam.name(), true, adam.moe(), 8, 6, Optimizer.NONE, adam.precision());
    assertThat(ReportWriter.write(Planner.plan(adam))).contains("The update reads");
    assertThat(ReportWriter.write(Planner.plan(none))).doesNotContain("The update");
  }

  @Test
  void bytesAreReadable() {
    assertThat(ReportWriter.bytes(17)).isEqualTo("17 bytes");
    assertThat(ReportWriter.bytes(1536)).isEqualTo("1.5 KiB");
    assertThat(ReportWriter.bytes(8L << 30)).isEqualTo("8.0 GiB");
  }
}
