package dev.topknot.processor.read;

import java.util.function.BiConsumer;
import javax.lang.model.element.AnnotationMirror;
import javax.lang.model.element.AnnotationValue;
import javax.lang.model.element.Element;
import javax.tools.Diagnostic;

/**
 * Where the compiler can print.
 *
 * @param mirror the annotation on the element, null for the element itself
 * @param value the value within the annotation, null for all of it
 * @param ordinal which of several annotations in a container this is, from 1; 0 without a container
 * @param printer prints where no element is; null where the messager can
 */
record Place(
    Element element,
    AnnotationMirror mirror,
    AnnotationValue value,
    int ordinal,
    BiConsumer<Diagnostic.Kind, String> printer) {

  static Place of(Element element) {
    return new Place(element, null, null, 0, null);
  }

  static Place of(Element element, AnnotationMirror mirror) {
    return new Place(element, mirror, null, 0, null);
  }

  static Place repeated(Element element, AnnotationMirror container, int ordinal) {
    return new Place(element, container, null, ordinal, null);
  }

  static Place within(Element element, BiConsumer<Diagnostic.Kind, String> printer) {
    return new Place(element, null, null, 0, printer);
  }

  /** A value within the annotation. */
  Place at(AnnotationValue within) {
    return new Place(element, mirror, within, ordinal, printer);
  }
}
