package dev.topknot.processor.check;

import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.ExpertKind;
import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.Site;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * A Mixture-of-Experts layer as it is annotated, on an interface or on a method.
 *
 * @param name what the annotations stand on: {@code NewsExperts}, {@code experts()}
 * @param site the place of that
 * @param layer its {@code @MoELayer}
 * @param kinds its {@code @Expert}s
 * @param hierarchy its {@code @Hierarchy}, where it has one
 * @param width the width it has there, where it is known
 * @param tokens the most tokens it gets there, where they are known
 */
record MoEView(
    String name,
    Site site,
    Mark layer,
    List<Mark> kinds,
    Optional<Mark> hierarchy,
    OptionalInt width,
    OptionalLong tokens) {

  /** The layers that a declaration annotates itself; not the layer types that it uses. */
  static List<MoEView> in(Declaration declaration) {
    List<MoEView> views = new ArrayList<>();
    if (declaration.isLayer()) {
      declaration
          .mark("MoELayer")
          .ifPresent(
              mark ->
                  views.add(
                      new MoEView(
                          declaration.name().nested(),
                          declaration.site(),
                          mark,
                          experts(declaration.marks()),
                          declaration.mark("Hierarchy"),
                          mark.writtenInteger("width"),
                          Sizes.asLong(mark.writtenInteger("tokens")))));
    }
    for (LayerView layer : LayerView.in(declaration)) {
      layer
          .method()
          .mark("MoELayer")
          .ifPresent(
              mark ->
                  views.add(
                      new MoEView(
                          layer.name(),
                          layer.method().site(),
                          mark,
                          experts(layer.method().marks()),
                          layer.method().mark("Hierarchy"),
                          layer.in(),
                          Sizes.tokens(declaration))));
    }
    return views;
  }

  private static List<Mark> experts(List<Mark> marks) {
    return marks.stream().filter(mark -> mark.name().equals("Expert")).toList();
  }

  /** The kinds that the gate chooses from. */
  List<Mark> routed() {
    return kinds.stream().filter(kind -> !kind.flag("shared")).toList();
  }

  /** Those of them that leave their number open. */
  List<Mark> withoutCount() {
    return routed().stream().filter(kind -> !kind.wrote("count")).toList();
  }

  /** How many experts are of a kind; at least 1, where counts are wrong. */
  long count(Mark kind) {
    return Math.max(1, ExpertKind.count(kind, kinds, experts().orElse(1)));
  }

  /** Whether the compiler could read what its kinds say, and its number of experts is one. */
  boolean readable() {
    return kinds.stream().allMatch(Mark::complete) && experts().orElse(0) >= 1;
  }

  OptionalInt experts() {
    return layer.integer("experts");
  }

  /** As it is written: in a hierarchy, of each group. */
  OptionalInt k() {
    return layer.integer("k");
  }

  /** Experts of which k are chosen: those of a group, where a hierarchy has such. */
  OptionalInt choices() {
    OptionalInt groups = groups();
    return experts().isPresent() && groups.isPresent()
        ? OptionalInt.of(experts().getAsInt() / groups.getAsInt())
        : experts();
  }

  /** The groups of a hierarchy, where they divide the experts. */
  OptionalInt groups() {
    OptionalInt groups = ofHierarchy("groups");
    return groups.isPresent()
            && groups.getAsInt() >= 2
            && experts().orElse(0) >= 1
            && experts().orElse(0) % groups.getAsInt() == 0
        ? groups
        : OptionalInt.empty();
  }

  /** The groups that a token goes to; absent without a hierarchy. */
  OptionalInt groupsOfToken() {
    return ofHierarchy("k");
  }

  private OptionalInt ofHierarchy(String attribute) {
    return hierarchy.map(it -> it.integer(attribute)).orElse(OptionalInt.empty());
  }

  /** Whether it has a gate at all: one expert needs none. */
  boolean gated() {
    return experts().orElse(0) > 1;
  }
}
