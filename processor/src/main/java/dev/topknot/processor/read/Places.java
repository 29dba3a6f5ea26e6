package dev.topknot.processor.read;

import dev.topknot.processor.diagnostic.Finding;
import dev.topknot.processor.diagnostic.Printer;
import dev.topknot.processor.model.Site;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import javax.annotation.processing.Messager;
import javax.annotation.processing.ProcessingEnvironment;
import javax.lang.model.element.Element;
import javax.tools.Diagnostic;

/** Every place that was read, by its symbolic name; prints on them. */
public final class Places implements Printer {
  private final Messager messager;
  private final Optional<SourceTrees> trees;
  private final Map<Site, Place> places = new LinkedHashMap<>();
  private final Map<Site, Integer> types = new LinkedHashMap<>();
  private final Map<Site, Integer> orders = new LinkedHashMap<>();

  /** Prints through the compiler's messager, and through its trees where it has them. */
  public Places(ProcessingEnvironment environment) {
    this.messager = environment.getMessager();
    this.trees = trees(environment);
  }

  private static Optional<SourceTrees> trees(ProcessingEnvironment environment) {
    try {
      return Optional.of(SourceTrees.of(environment));
    } catch (IllegalArgumentException | LinkageError otherCompiler) {
      return Optional.empty();
    }
  }

  Optional<SourceTrees> trees() {
    return trees;
  }

  /** Remembers where a type is, before anything in it. */
  void locate(Site type, Place place) {
    places.putIfAbsent(type, place);
    types.putIfAbsent(type, types.size());
  }

  void add(Site site, Place place) {
    places.put(site, place);
    orders.putIfAbsent(site, orders.size());
  }

  /** By type, in the order in which types were located first, then by what was read within it. */
  @Override
  public long order(Site site) {
    return known(site)
        .map(it -> ((long) types.get(it.type()) << Integer.SIZE) + orders.getOrDefault(it, 0))
        .orElse(-1L);
  }

  @Override
  public boolean suppressed(Site site, String code) {
    Element element = known(site).map(it -> places.get(it).element()).orElse(null);
    for (; element != null; element = element.getEnclosingElement()) {
      if (suppresses(element, code)) {
        return true;
      }
    }
    return false;
  }

  /**
   * Reads the mirror: the annotation itself would throw where the compiler finds an error in it.
   */
  private static boolean suppresses(Element element, String code) {
    return AnnotationReader.find(element, SuppressWarnings.class.getName()).stream()
        .flatMap(mirror -> mirror.getElementValues().values().stream())
        .flatMap(values -> AnnotationReader.elements(values).stream())
        .anyMatch(value -> code.equals(value.getValue()));
  }

  @Override
  public void print(Finding finding) {
    Diagnostic.Kind kind =
        finding.problem().isError() ? Diagnostic.Kind.ERROR : Diagnostic.Kind.WARNING;
    Optional<Site> site = known(finding.site());
    if (site.isEmpty()) {
      messager.printMessage(kind, finding.message());
      return;
    }
    Place place = places.get(site.get());
    if (place.printer() != null) {
      place.printer().accept(kind, finding.message());
      return;
    }
    if (place.ordinal() == 0) {
      messager.printMessage(
          kind, finding.message(), place.element(), place.mirror(), place.value());
      return;
    }
    // The container that the compiler makes of repeated annotations has no position.
    List<String> path = pathFromAnnotation(site.get());
    boolean printed = trees.isPresent() && trees.get().print(kind, finding.message(), place, path);
    if (!printed) {
      messager.printMessage(
          kind, finding.message(describe(path)), place.element(), place.mirror(), place.value());
    }
  }

  /** The place itself, or else the nearest around it that was read. */
  private Optional<Site> known(Site site) {
    Optional<Site> at = Optional.of(site);
    while (at.isPresent() && !places.containsKey(at.get())) {
      at = at.get().outer();
    }
    return at;
  }

  private static List<String> pathFromAnnotation(Site site) {
    List<String> path = site.path();
    int annotation = 0;
    while (!path.get(annotation).contains("@")) {
      annotation++;
    }
    return path.subList(annotation, path.size());
  }

  /** {@code second @Expert, hidden[1]}. */
  private static String describe(List<String> path) {
    return switch (path.size()) {
      case 1 -> path.get(0);
      case 2 -> path.get(0) + ", " + path.get(1);
      default -> path.get(0) + ", " + path.get(1) + "[" + path.get(2) + "]";
    };
  }
}
