package dev.topknot.processor.check;

import dev.topknot.dsl.Gating;
import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.Site;
import java.util.OptionalInt;

/** What {@code @Hierarchy} may say, and where. */
final class HierarchyRules {
  /** Secondary gates have numbers of 13 bits in noise streams, from 1 on. */
  private static final int MOST_GROUPS = 8191;

  private HierarchyRules() {}

  static void besideALayer(Declaration declaration, Findings findings) {
    ExpertRules.alone("Hierarchy", Problem.HIERARCHY_ALONE, declaration, findings);
    for (MoEView moe : MoEView.in(declaration)) {
      if (moe.experts().orElse(0) == 1) {
        moe.hierarchy()
            .ifPresent(mark -> findings.add(Problem.HIERARCHY_ALONE, mark.site(), moe.name()));
      }
    }
  }

  static void groups(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      OptionalInt written =
          moe.hierarchy().map(it -> it.integer("groups")).orElse(OptionalInt.empty());
      int experts = moe.experts().orElse(0);
      if (written.isEmpty() || experts < 2) {
        continue;
      }
      int groups = written.getAsInt();
      Site site = moe.hierarchy().orElseThrow().site("groups");
      if (groups < 2) {
        add(site, groups, "a primary gate needs at least two to choose from", experts, findings);
      } else if (groups > MOST_GROUPS) {
        add(site, groups, "random streams number at most " + MOST_GROUPS, experts, findings);
      } else if (experts % groups != 0) {
        add(site, groups, "they cannot have equally many experts", experts, findings);
      }
    }
  }

  private static void add(Site site, int groups, String reason, int experts, Findings findings) {
    findings.add(Problem.GROUPS_UNEVEN, site, groups, reason, experts);
  }

  static void kWithinLevels(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      if (moe.groups().isEmpty()) {
        continue;
      }
      int groups = moe.groups().getAsInt();
      Mark hierarchy = moe.hierarchy().orElseThrow();
      int groupsOfToken = moe.groupsOfToken().orElse(1);
      if (groupsOfToken < 1 || groupsOfToken > groups) {
        findings.add(Problem.K_OUTSIDE_LEVEL, hierarchy.site("k"), groupsOfToken, groups, "groups");
      }
      int choices = moe.choices().orElseThrow();
      int k = moe.k().orElse(1);
      if (k > choices && k <= moe.experts().orElseThrow()) { // else TK012 says so
        findings.add(
            Problem.K_OUTSIDE_LEVEL, moe.layer().site("k"), k, choices, "experts of a group");
      }
    }
  }

  static void noisyTopK(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      if (moe.hierarchy().isPresent()) {
        moe.layer()
            .constant("gating", Gating.class)
            .filter(gating -> gating != Gating.NOISY_TOP_K)
            .ifPresent(
                gating ->
                    findings.add(Problem.HIERARCHY_GATING, moe.layer().site("gating"), gating));
      }
    }
  }
}
