package dev.topknot.processor.read;

import dev.topknot.processor.model.RuntimeTypes;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import javax.lang.model.element.ExecutableElement;
import javax.lang.model.element.TypeElement;
import javax.lang.model.type.TypeMirror;
import javax.lang.model.util.ElementFilter;
import javax.lang.model.util.Elements;

/** The methods that an annotated interface has from the runtime, and every object has. */
final class RuntimeMethods {
  private static final List<String> TYPES =
      List.of(
          RuntimeTypes.LANGUAGE_MODEL,
          RuntimeTypes.MOE,
          RuntimeTypes.FORWARDING_LANGUAGE_MODEL,
          Object.class.getName());

  /** Names of methods of models and objects, with the type that users know them from. */
  private final Map<String, String> names = new LinkedHashMap<>();

  /** Signatures with their return types. */
  private final Map<String, TypeMirror> signatures = new LinkedHashMap<>();

  RuntimeMethods(Elements elements) {
    for (String name : TYPES) {
      TypeElement type = elements.getTypeElement(name);
      if (type != null) {
        ElementFilter.methodsIn(elements.getAllMembers(type))
            .forEach(method -> add(method, !name.equals(RuntimeTypes.MOE)));
      }
    }
  }

  private void add(ExecutableElement method, boolean ofModels) {
    signatures.putIfAbsent(Reader.signature(method), method.getReturnType());
    if (ofModels) {
      names.putIfAbsent(
          method.getSimpleName().toString(),
          method.getEnclosingElement().getSimpleName().toString());
    }
  }

  /** The runtime's or the language's type that has a method of this name. */
  Optional<String> namesake(String name) {
    return Optional.ofNullable(names.get(name));
  }

  /** Whether a method comes from the runtime or from above it. */
  boolean declares(ExecutableElement method) {
    return signatures.containsKey(Reader.signature(method));
  }

  /** Whether a method of a type says again what the runtime says, so that nothing is to be done. */
  boolean redeclared(ExecutableElement method, TypeElement by) {
    TypeMirror returned = signatures.get(Reader.signature(method));
    String again = method.getReturnType().toString();
    boolean itself =
        method.getSimpleName().contentEquals("inference") && again.equals(by.asType().toString());
    return returned != null && (again.equals(returned.toString()) || itself);
  }
}
