package dev.topknot.processor.write.report;

import static org.assertj.core.api.Assertions.assertThat;

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
  void bytesAreReadable() {
    assertThat(ReportWriter.bytes(17)).isEqualTo("17 bytes");
    assertThat(ReportWriter.bytes(1536)).isEqualTo("1.5 KiB");
    assertThat(ReportWriter.bytes(8L << 30)).isEqualTo("8.0 GiB");
  }
}
