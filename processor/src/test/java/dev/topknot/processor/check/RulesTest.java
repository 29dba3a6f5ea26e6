package dev.topknot.processor.check;

import static dev.topknot.processor.check.Declarations.layer;
import static dev.topknot.processor.check.Declarations.method;
import static dev.topknot.processor.check.Declarations.model;
import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.processor.diagnostic.Finding;
import dev.topknot.processor.diagnostic.Report;
import dev.topknot.processor.model.Declaration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Rules on plain records; with the compiler they are tested on the pages of the problems. */
class RulesTest {

  private static List<Finding> check(Declaration declaration) {
    Report report = new Report();
    Rules.check(declaration, report);
    return report.findings();
  }

  private static List<String> messages(Declaration declaration) {
    return check(declaration).stream().map(Finding::message).toList();
  }

  @Test
  void goodDeclarationsHaveNoFindings() {
    assertThat(check(layer("Experts", "experts", 4, "k", 2, "width", 16, "tokens", 32))).isEmpty();
    assertThat(check(layer("Twin", "experts", 1, "k", 1, "width", 16, "tokens", 32))).isEmpty();
    assertThat(
            check(
                model(
                    method("below", "Lstm", "units", 16),
                    method(
                        "experts",
                        layer("Experts", "experts", 4, "k", 2, "width", 16, "tokens", 160)))))
        .isEmpty();
  }

  @Test
  void aFindingNamesThePlaceAndTheNumbers() {
    List<Finding> findings =
        check(layer("Experts", "experts", 4, "k", 8, "width", 16, "tokens", 32));
    assertThat(findings).hasSize(1);
    assertThat(findings.get(0).message())
        .isEqualTo(
            "[TK012] k = 8 exceeds experts = 4: a token cannot be sent to more experts than there"
                + " are; use k <= 4");
    assertThat(findings.get(0).site().path())
        .containsExactly("com.example.Experts", "@MoELayer", "k");
  }

  @Test
  void whatIsWrongInALibraryIsQuotedOnTheMethodThatUsesIt() {
    List<Finding> findings =
        check(
            model(
                method(
                    "experts", layer("Remote", "experts", 4, "k", 8, "width", 16, "tokens", 160))));
    assertThat(findings).hasSize(1);
    assertThat(findings.get(0).message())
        .startsWith("[TK012] com.example.Remote: k = 8 exceeds experts = 4");
    assertThat(findings.get(0).site().path()).containsExactly("com.example.News", "experts()");
  }

  @Test
  void widthsFollowTheLayers() {
    assertThat(
            messages(
                model(
                    method("narrow", "Dense", "units", 8),
                    method("experts", "MoELayer", "experts", 2, "k", 2, "width", 16),
                    method("above", "Lstm", "units", 4))))
        .anySatisfy(
            it ->
                assertThat(it)
                    .contains(
                        "[TK046] experts() works on width = 16, but narrow() before it"
                            + " gives 8"));
  }

  @Test
  void aWidthThatDoesNotMeetIsReportedOnce() {
    assertThat(
            messages(
                model(
                    method("a", layer("A", "experts", 4, "k", 2, "width", 8, "tokens", 160)),
                    method("b", layer("B", "experts", 4, "k", 2, "width", 16, "tokens", 160)))))
        .hasSize(1);
  }

  @Test
  void fourBillionWeightsAreNoProblem() {
    assertThat(check(layer("Large", "experts", 4096, "k", 4, "width", 1 << 16, "tokens", 16384)))
        .isEmpty();
  }

  @Test
  void productsAreExactBeyond64Bits() {
    int most = 1 << 24;
    assertThat(messages(layer("Huge", "experts", most, "k", most, "width", most, "tokens", most)))
        .anySatisfy(
            it ->
                assertThat(it)
                    .contains(
                        "tokens x k x width = 16777216 x 16777216 x 16777216 ="
                            + " 4722366482869645213696 floats"));
  }
}
