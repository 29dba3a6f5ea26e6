package dev.topknot.processor;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Optimizer;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.diagnostic.Report;
import dev.topknot.processor.model.Site;
import dev.topknot.processor.model.Spec;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.Planner;
import dev.topknot.processor.plan.Specs;
import java.util.Map;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class MemoryLimitTest {
  private final Report report = new Report();

  private MemoryLimit read(String value) {
    return MemoryLimit.read(Map.of(MemoryLimit.OPTION, value), report);
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1",
    "1000000, 1000000",
    "12B, 12",
    "500MB, 500000000",
    "8GiB, 8589934592",
    "8 gib, 8589934592",
    "1.5KiB, 1536",
    "2TB, 2000000000000",
    "9223372036854775807, 9223372036854775807"
  })
  void readsBytes(String value, long bytes) {
    assertThat(read(value).bytes()).hasValue(bytes);
    assertThat(report.findings()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "lots", "-1", "8G", "0", "9223372036854775808", "1e9", "GiB", "8 GiBs"})
  void refusesWhatItDoesNotUnderstand(String value) {
    assertThat(read(value).bytes()).isEmpty();
    assertThat(report.findings())
        .extracting(it -> it.problem())
        .containsExactly(Problem.BAD_OPTION);
  }

  @Test
  void noOptionIsNoLimit() {
    assertThat(MemoryLimit.read(Map.of(), report).bytes()).isEmpty();
    assertThat(report.findings()).isEmpty();
  }

  @Test
  void aPlanMayTakeTheLimitAndNotAByteMore() {
    Plan plan = Planner.plan(Specs.layer(Specs.moe(4, 2, 64, ActivationFunction.RELU), 16, 32));
    Site site = Site.nowhere();
    new MemoryLimit(OptionalLong.of(plan.bytes())).check(plan, site, report);
    assertThat(report.findings()).isEmpty();
    new MemoryLimit(OptionalLong.of(plan.bytes() - 1)).check(plan, site, report);
    assertThat(report.findings()).hasSize(1);
    assertThat(report.findings().get(0).text())
        .contains("(%d bytes)".formatted(plan.bytes()))
        .contains("(%d bytes)".formatted(plan.bytes() - 1))
        .contains(plan.largestBuffers(1).get(0).name());
  }

  @Test
  void theAdviceIsAboutWhatIsLargest() {
    MemoryLimit limit = new MemoryLimit(OptionalLong.of(1));
    limit.check(
        Planner.plan(Specs.layer(Specs.moe(64, 2, 64, ActivationFunction.RELU), 16, 8)),
        Site.nowhere(),
        report);
    limit.check(
        Planner.plan(Specs.layer(Specs.moe(4, 2, 8, ActivationFunction.RELU), 8, 4096)),
        Site.nowhere(),
        report);
    assertThat(report.findings().get(0).text()).contains("fewer or narrower experts");
    assertThat(report.findings().get(1).text())
        .contains("grows with the tokens of a call: use fewer tokens");
  }

  @Test
  void theAdviceKnowsWhatTheAnnotationsCouldSave() {
    MemoryLimit limit = new MemoryLimit(OptionalLong.of(1));
    Spec spec = Specs.layer(Specs.moe(64, 2, 64, ActivationFunction.RELU), 16, 8);
    Plan leanest = Planner.plan(spec.with(Optimizer.ADAM_FACTORED, true));
    limit.check(Planner.plan(spec), Site.nowhere(), report);
    limit.check(leanest, Site.nowhere(), report);
    assertThat(report.findings().get(0).text())
        .contains("with optimizer = ADAM_FACTORED it is", leanest.bytes() + " bytes");
    assertThat(report.findings().get(1).text()).doesNotContain("ADAM_FACTORED");
  }
}
