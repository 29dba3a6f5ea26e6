package dev.topknot.processor.read;

import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.Site;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import javax.lang.model.element.AnnotationMirror;
import javax.lang.model.element.AnnotationValue;
import javax.lang.model.element.Element;
import javax.lang.model.element.ExecutableElement;
import javax.lang.model.element.TypeElement;
import javax.lang.model.element.VariableElement;
import javax.lang.model.type.ArrayType;
import javax.lang.model.type.TypeKind;
import javax.lang.model.type.TypeMirror;
import javax.lang.model.util.ElementFilter;

/** Reads the annotations of an element and remembers where each of their values stands. */
final class AnnotationReader {
  private static final String PACKAGE = "dev.topknot.dsl.";
  private static final String CONTAINER = PACKAGE + "Expert.Kinds";

  private final Places places;

  AnnotationReader(Places places) {
    this.places = places;
  }

  /** The Topknot annotations of an element, in the order they are written. */
  List<Mark> read(Element element, Site site) {
    List<Mark> marks = new ArrayList<>();
    for (AnnotationMirror mirror : element.getAnnotationMirrors()) {
      String name = type(mirror).getQualifiedName().toString();
      if (name.equals(CONTAINER)) {
        marks.addAll(contained(element, mirror, site));
      } else if (name.startsWith(PACKAGE)) {
        marks.add(read(mirror, Place.of(element, mirror), step(site, mirror)));
      }
    }
    return marks;
  }

  private List<Mark> contained(Element element, AnnotationMirror mirror, Site site) {
    List<Mark> marks = new ArrayList<>();
    for (AnnotationValue list : mirror.getElementValues().values()) {
      for (AnnotationValue value : elements(list)) {
        if (value.getValue() instanceof AnnotationMirror one) {
          int ordinal = marks.size() + 1;
          Place place = Place.repeated(element, mirror, ordinal);
          marks.add(read(one, place.at(value), site.then(Ordinal.word(ordinal) + " @Expert")));
        }
      }
    }
    return marks;
  }

  private static Site step(Site site, AnnotationMirror mirror) {
    return site.then("@" + type(mirror).getSimpleName());
  }

  private Mark read(AnnotationMirror mirror, Place place, Site site) {
    places.add(site, place);
    Map<String, Object> values = new LinkedHashMap<>();
    Set<String> written = new LinkedHashSet<>();
    Set<String> unreadable = new LinkedHashSet<>();
    Set<String> missing = new LinkedHashSet<>();
    mirror
        .getElementValues()
        .forEach(
            (attribute, value) -> {
              String name = attribute.getSimpleName().toString();
              written.add(name);
              places.add(site.then(name), place.at(value));
              Optional<Object> read = value(attribute.getReturnType(), value);
              read.ifPresentOrElse(it -> values.put(name, it), () -> unreadable.add(name));
              if (attribute.getReturnType().getKind() == TypeKind.ARRAY) {
                List<? extends AnnotationValue> list = elements(value);
                for (int i = 0; i < list.size(); i++) {
                  places.add(site.then(name).then(Integer.toString(i)), place.at(list.get(i)));
                }
              }
            });
    for (ExecutableElement attribute :
        ElementFilter.methodsIn(type(mirror).getEnclosedElements())) {
      String name = attribute.getSimpleName().toString();
      if (!written.contains(name)) {
        Optional.ofNullable(attribute.getDefaultValue())
            .flatMap(value -> value(attribute.getReturnType(), value))
            .ifPresentOrElse(it -> values.put(name, it), () -> missing.add(name));
      }
    }
    return new Mark(
        type(mirror).getSimpleName().toString(), site, values, written, unreadable, missing);
  }

  /** The value of an attribute; absent where the compiler found an error in it. */
  private static Optional<Object> value(TypeMirror type, AnnotationValue value) {
    Object it = value.getValue();
    return switch (type.getKind()) {
      case INT -> Optional.of(it).filter(Integer.class::isInstance);
      case BOOLEAN -> Optional.of(it).filter(Boolean.class::isInstance);
      case DOUBLE -> Optional.of(it).filter(Double.class::isInstance);
      case DECLARED ->
          it instanceof VariableElement constant
              ? Optional.of(constant.getSimpleName().toString())
              : Optional.empty();
      case ARRAY -> {
        TypeMirror component = ((ArrayType) type).getComponentType();
        List<? extends AnnotationValue> list = elements(value);
        List<Object> read =
            list.stream().flatMap(element -> value(component, element).stream()).toList();
        yield it instanceof List<?> && read.size() == list.size()
            ? Optional.of(read)
            : Optional.empty();
      }
      default -> Optional.empty();
    };
  }

  /** The elements of an array; none where the compiler found an error in it. */
  static List<? extends AnnotationValue> elements(AnnotationValue value) {
    if (value.getValue() instanceof List<?> list) {
      return list.stream()
          .filter(AnnotationValue.class::isInstance)
          .map(AnnotationValue.class::cast)
          .toList();
    }
    return List.of();
  }

  /** An element's annotation of the given qualified name. */
  static Optional<AnnotationMirror> find(Element element, String annotation) {
    for (AnnotationMirror mirror : element.getAnnotationMirrors()) {
      if (type(mirror).getQualifiedName().contentEquals(annotation)) {
        return Optional.of(mirror);
      }
    }
    return Optional.empty();
  }

  private static TypeElement type(AnnotationMirror mirror) {
    return (TypeElement) mirror.getAnnotationType().asElement();
  }
}
