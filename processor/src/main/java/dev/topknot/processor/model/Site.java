package dev.topknot.processor.model;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A place in a user's source, by names: {@code [com.example.NewsExperts, @MoELayer, k]}.
 *
 * @param path the way in: the type, then a member, an annotation, an attribute, an array index,
 *     each but the first only where it applies
 */
public record Site(List<String> path) {
  /** Copies the path. */
  public Site {
    path = List.copyOf(path);
  }

  /** A type's own place. */
  public static Site of(SpecName type) {
    return new Site(List.of(type.qualified()));
  }

  /** A place of the compilation as a whole. */
  public static Site nowhere() {
    return new Site(List.of());
  }

  /** A place within this one. */
  public Site then(String step) {
    List<String> longer = new ArrayList<>(path);
    longer.add(step);
    return new Site(longer);
  }

  /** The place of the type around this one. */
  public Site type() {
    return new Site(path.subList(0, Math.min(1, path.size())));
  }

  /** The place around this one; absent around a type. */
  public Optional<Site> outer() {
    return path.size() <= 1
        ? Optional.empty()
        : Optional.of(new Site(path.subList(0, path.size() - 1)));
  }
}
