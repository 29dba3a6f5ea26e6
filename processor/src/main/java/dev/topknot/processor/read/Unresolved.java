package dev.topknot.processor.read;

import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import javax.lang.model.element.ExecutableElement;
import javax.lang.model.element.Modifier;
import javax.lang.model.element.TypeElement;
import javax.lang.model.element.VariableElement;
import javax.lang.model.type.DeclaredType;
import javax.lang.model.type.TypeKind;
import javax.lang.model.type.TypeMirror;
import javax.lang.model.util.ElementFilter;

/** Finds types that a declaration needs and that do not exist, or not yet. */
public final class Unresolved {
  private final Set<String> seen = new HashSet<>();

  private Unresolved() {}

  /**
   * The first type that does not exist among the supertypes of a type and the types in its abstract
   * methods. Methods with a body are none of our business: they may well return the very class that
   * is generated.
   */
  public static Optional<String> in(TypeElement type) {
    return new Unresolved().type(type);
  }

  private Optional<String> type(TypeElement type) {
    Optional<String> missing = supertypes(type.asType());
    for (ExecutableElement method : ElementFilter.methodsIn(type.getEnclosedElements())) {
      if (missing.isEmpty() && method.getModifiers().contains(Modifier.ABSTRACT)) {
        missing = method(method);
      }
    }
    return missing;
  }

  private Optional<String> method(ExecutableElement method) {
    Optional<String> missing = supertypes(method.getReturnType());
    for (VariableElement parameter : method.getParameters()) {
      if (missing.isEmpty() && parameter.asType().getKind() == TypeKind.ERROR) {
        missing = Optional.of(parameter.asType().toString());
      }
    }
    return missing;
  }

  private Optional<String> supertypes(TypeMirror type) {
    if (type.getKind() == TypeKind.ERROR) {
      return Optional.of(type.toString());
    }
    if (!(type instanceof DeclaredType declared)
        || !(declared.asElement() instanceof TypeElement element)
        || !seen.add(element.getQualifiedName().toString())) {
      return Optional.empty();
    }
    return Stream.concat(Stream.of(element.getSuperclass()), element.getInterfaces().stream())
        .flatMap(above -> supertypes(above).stream())
        .findFirst();
  }
}
