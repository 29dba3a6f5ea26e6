package dev.topknot.processor.diagnostic;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.topknot.processor.model.Site;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ReportTest {
  private static final Site FIRST = new Site(List.of("A"));
  private static final Site SECOND = FIRST.then("@MoELayer").then("k");

  private static final class Paper implements Printer {
    private final List<String> printed = new ArrayList<>();

    @Override
    public long order(Site site) {
      return site.path().size();
    }

    @Override
    public boolean suppressed(Site site, String code) {
      return code.equals("TK031") || code.equals("TK012");
    }

    @Override
    public void print(Finding finding) {
      printed.add(finding.message());
    }
  }

  private static List<String> print(Report report) {
    Paper paper = new Paper();
    report.print(paper);
    return paper.printed;
  }

  @Test
  void printsOnceInTheOrderOfTheSource() {
    Report report = new Report();
    report.add(Problem.SIZE_NOT_POSITIVE, SECOND, "k", 0);
    report.add(Problem.NO_LAYERS, FIRST, "A");
    report.add(Problem.SIZE_NOT_POSITIVE, SECOND, "k", 0);
    assertThat(report.errors()).isEqualTo(2);
    assertThat(print(report))
        .extracting(it -> it.substring(0, 7))
        .containsExactly("[TK040]", "[TK014]");
    assertThat(print(report)).isEmpty();
  }

  @Test
  void warningsCanBeSuppressedAndErrorsCannot() {
    Report report = new Report();
    report.add(Problem.TOP_1, FIRST, "NOISY_TOP_K", "learns", "k >= 2");
    report.add(Problem.K_EXCEEDS_EXPERTS, FIRST, 8, 4);
    assertThat(report.errors()).isEqualTo(1);
    assertThat(print(report)).hasSize(1).allMatch(it -> it.startsWith("[TK012]"));
  }

  @Test
  void whatIsUsedElsewhereIsQuoted() {
    Report report = new Report();
    report.usedAt(FIRST, "com.lib.B").add(Problem.K_EXCEEDS_EXPERTS, SECOND, 8, 4);
    Finding finding = report.findings().get(0);
    assertThat(finding.site()).isEqualTo(FIRST);
    assertThat(finding.message()).startsWith("[TK012] com.lib.B: k = 8 exceeds experts = 4");
  }

  @ParameterizedTest
  @EnumSource(Problem.class)
  void everyPlaceholderIsFilled(Problem problem) {
    Object[] values = problem.placeholders().stream().map(it -> "<" + it + "$1>").toArray();
    String text = problem.text(values);
    for (Object value : values) {
      assertThat(text).contains((String) value);
    }
    assertThat(text).doesNotContainPattern("\\{[a-z]+}");
    Object[] more = java.util.Arrays.copyOf(values, values.length + 1);
    assertThatThrownBy(() -> problem.text(more)).isInstanceOf(IllegalArgumentException.class);
  }
}
