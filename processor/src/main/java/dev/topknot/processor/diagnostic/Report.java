package dev.topknot.processor.diagnostic;

import dev.topknot.processor.model.Site;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Collects problems, to be printed once, in the order of the sources. */
public final class Report implements Findings {
  private final Set<Finding> findings = new LinkedHashSet<>();

  @Override
  public void add(Problem problem, Site site, Object... values) {
    findings.add(new Finding(problem, site, problem.text(values)));
  }

  /**
   * Findings about something declared elsewhere, printed on the place that uses it. Warnings are
   * left to the compilation there: what suppresses them is in no class file.
   *
   * @param site the place that uses it
   * @param declaration what is used
   */
  public Findings usedAt(Site site, String declaration) {
    return (problem, unused, values) -> {
      if (problem.isError()) {
        findings.add(new Finding(problem, site, declaration + ": " + problem.text(values)));
      }
    };
  }

  /** All that was found, in the order of the rules. */
  public List<Finding> findings() {
    return List.copyOf(findings);
  }

  /** The number of errors so far. */
  public long errors() {
    return findings.stream().filter(finding -> finding.problem().isError()).count();
  }

  /** Prints everything in the order of the sources and forgets it. */
  public void print(Printer printer) {
    List<Finding> ordered = new ArrayList<>(findings);
    ordered.sort(Comparator.comparingLong(finding -> printer.order(finding.site())));
    findings.clear();
    for (Finding finding : ordered) {
      if (finding.problem().isError()
          || !printer.suppressed(finding.site(), finding.problem().code())) {
        printer.print(finding);
      }
    }
  }
}
