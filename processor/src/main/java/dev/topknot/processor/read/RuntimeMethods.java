package dev.topknot.processor.read;

import dev.topknot.processor.model.RuntimeTypes;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import javax.lang.model.element.Element;
import javax.lang.model.element.ExecutableElement;
import javax.lang.model.element.Modifier;
import javax.lang.model.element.TypeElement;
import javax.lang.model.util.ElementFilter;
import javax.lang.model.util.Elements;

/** The methods that an annotated interface has from the runtime, and every object has. */
final class RuntimeMethods {
  private static final String DEVICE = RuntimeTypes.PACKAGE + ".Device";

  /** The static methods of every entry class. */
  private static final Set<String> FACTORIES =
      Set.of(
          "on(" + DEVICE + ")",
          "on(" + DEVICE + ", long)",
          "on(" + DEVICE + ", long, " + RuntimeTypes.PACKAGE + ".Options)");

  /** The static method of a layer's entry class. */
  private static final String PART = "part(" + RuntimeTypes.MOE + ")";

  private final Elements elements;

  /** Names of methods of models and objects, with the type that users know them from. */
  private final Map<String, String> names = new LinkedHashMap<>();

  /** What a model has, then what every object has. */
  private final List<ExecutableElement> ofModels = new ArrayList<>();

  /** What a layer has, then what every object has. */
  private final List<ExecutableElement> ofLayers = new ArrayList<>();

  RuntimeMethods(Elements elements) {
    this.elements = elements;
    ofModels.addAll(members(RuntimeTypes.LANGUAGE_MODEL));
    ofModels.forEach(this::name);
    for (ExecutableElement method : own(RuntimeTypes.FORWARDING_LANGUAGE_MODEL)) {
      // With parameters, what generated classes use themselves is another method than a layer's.
      boolean hidden = method.getModifiers().contains(Modifier.PROTECTED);
      if (!hidden || method.getParameters().isEmpty()) {
        name(method);
      }
    }
    ofLayers.addAll(members(RuntimeTypes.MOE));
    List<ExecutableElement> ofObjects = members(Object.class.getName());
    ofObjects.forEach(this::name);
    ofModels.addAll(ofObjects);
    ofLayers.addAll(ofObjects);
  }

  private List<ExecutableElement> members(String typeName) {
    TypeElement type = elements.getTypeElement(typeName);
    return type == null ? List.of() : ElementFilter.methodsIn(elements.getAllMembers(type));
  }

  private List<ExecutableElement> own(String typeName) {
    TypeElement type = elements.getTypeElement(typeName);
    return type == null ? List.of() : ElementFilter.methodsIn(type.getEnclosedElements());
  }

  private void name(ExecutableElement method) {
    names.putIfAbsent(
        method.getSimpleName().toString(), method.getEnclosingElement().getSimpleName().toString());
  }

  /** The runtime's or the language's type that has a method of this name. */
  Optional<String> namesake(String name) {
    return Optional.ofNullable(names.get(name));
  }

  /**
   * The class that has what a user's default method says, and would not let it be: a class's method
   * hides it, or cannot stand beside it.
   *
   * @param isModel whether the method is a model's; else a layer's
   */
  Optional<String> hides(ExecutableElement method, boolean isModel) {
    if (!method.isDefault() || ofRuntime(method.getEnclosingElement())) {
      return Optional.empty();
    }
    String signature = Reader.signature(method);
    if (FACTORIES.contains(signature) || (!isModel && signature.equals(PART))) {
      return Optional.of("the generated class");
    }
    String above = isModel ? RuntimeTypes.FORWARDING_LANGUAGE_MODEL : RuntimeTypes.FORWARDING_MOE;
    return own(above).stream()
        .filter(it -> Reader.signature(it).equals(signature))
        .map(it -> it.getEnclosingElement().getSimpleName().toString())
        .findFirst();
  }

  private boolean ofRuntime(Element type) {
    return elements.getPackageOf(type).getQualifiedName().contentEquals(RuntimeTypes.PACKAGE);
  }

  private List<ExecutableElement> methods(boolean isModel) {
    return isModel ? ofModels : ofLayers;
  }

  /**
   * Whether a method comes from the runtime or from above it.
   *
   * @param isModel whether it is a model's method; else a layer's
   */
  boolean declares(ExecutableElement method, boolean isModel) {
    return methods(isModel).contains(method) || original(method, isModel).isPresent();
  }

  /**
   * The method of the runtime that a method says again. Names are looked at first: a signature has
   * the compiler read every type in it.
   */
  private Optional<ExecutableElement> original(ExecutableElement method, boolean isModel) {
    for (ExecutableElement it : methods(isModel)) {
      if (it.getSimpleName().contentEquals(method.getSimpleName())
          && Reader.signature(it).equals(Reader.signature(method))) {
        return Optional.of(it);
      }
    }
    return Optional.empty();
  }

  /**
   * Whether a method of a type says again what the runtime says, so that nothing is to be done.
   *
   * @param isModel whether the type is a model; else a layer
   */
  boolean redeclared(ExecutableElement method, TypeElement by, boolean isModel) {
    Optional<ExecutableElement> original = original(method, isModel);
    if (original.isEmpty()) {
      return false;
    }
    String again = method.getReturnType().toString();
    boolean itself =
        method.getSimpleName().contentEquals("inference") && again.equals(by.asType().toString());
    return itself || again.equals(original.get().getReturnType().toString());
  }
}
