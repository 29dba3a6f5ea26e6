package dev.topknot.processor.model;

import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/**
 * A type that bears annotations of Topknot, right or wrong: what the rules look at.
 *
 * @param kind what it is, as the language calls it: interface, class, record, enum, annotation type
 * @param marks its annotations of Topknot, in the order they are written
 * @param methods the methods it declares, in their order, then the abstract ones it inherits from
 *     other types than the runtime's
 */
public record Declaration(
    SpecName name, String kind, Set<Trait> traits, List<Mark> marks, List<Method> methods) {
  /** Copies the parts. */
  public Declaration {
    traits = Set.copyOf(traits);
    marks = List.copyOf(marks);
    methods = List.copyOf(methods);
  }

  /** What a type is besides its kind. */
  public enum Trait {
    /** It and every type around it are public. */
    PUBLIC,
    /** It or a type around it is private. */
    PRIVATE,
    /** Declared within a method. */
    LOCAL,
    /** Has type parameters. */
    GENERIC,
    /** Says who may extend it. */
    SEALED,
    /** Extends the runtime's MoE. */
    EXTENDS_MOE,
    /** Extends the runtime's LanguageModel. */
    EXTENDS_LANGUAGE_MODEL,
    /** Its source is part of this compilation. */
    SOURCE,
    /** Its entry class exists. */
    COMPILED
  }

  /** Where the type stands. */
  public Site site() {
    return Site.of(name);
  }

  /** Whether it has a trait. */
  public boolean is(Trait trait) {
    return traits.contains(trait);
  }

  /** Its first annotation of the given simple name. */
  public Optional<Mark> mark(String annotation) {
    return marks.stream().filter(mark -> mark.name().equals(annotation)).findFirst();
  }

  /** Whether it is an interface to be compiled as a model. */
  public boolean isModel() {
    return isInterface() && mark("MoEModel").isPresent();
  }

  /** Whether it is an interface to be compiled as a layer of its own. */
  public boolean isLayer() {
    return isInterface() && mark("MoELayer").isPresent() && mark("MoEModel").isEmpty();
  }

  private boolean isInterface() {
    return kind.equals("interface");
  }

  /** The methods that are layers, where this is a model: declared here and abstract. */
  public List<Method> layers() {
    return methods.stream().filter(this::isLayer).toList();
  }

  /** Whether this is a model and one of its methods a layer. */
  public boolean isLayer(Method method) {
    return isModel() && method.isLayer();
  }

  /** Its own annotations and those of its methods and of the layer types they return. */
  public Stream<Mark> allMarks() {
    return Stream.concat(
        marks.stream(),
        methods.stream()
            .flatMap(
                method ->
                    Stream.concat(
                        method.marks().stream(),
                        method.layer().stream().flatMap(Declaration::allMarks))));
  }

  /** Whether every attribute has a value; if not, the compiler says why. */
  public boolean complete() {
    return allMarks().allMatch(Mark::complete);
  }

  /**
   * A method.
   *
   * @param signature its name and its parameters' types: {@code below()}
   * @param traits what it is
   * @param from the qualified name of the type that declares it
   * @param returns what it returns, as source code writes it
   * @param role what the returned type is to Topknot
   * @param layer the annotated layer type that it returns
   * @param namesake the type of the runtime or of the language that has a method of this name:
   *     {@code LanguageModel}, {@code Object}
   * @param marks its annotations of Topknot, in the order they are written
   */
  public record Method(
      String name,
      String signature,
      Site site,
      Set<MethodTrait> traits,
      String from,
      String returns,
      Role role,
      Optional<Declaration> layer,
      Optional<String> namesake,
      List<Mark> marks) {
    /** Copies the parts. */
    public Method {
      traits = Set.copyOf(traits);
      marks = List.copyOf(marks);
    }

    /** Whether it has a trait. */
    public boolean is(MethodTrait trait) {
      return traits.contains(trait);
    }

    /** Its first annotation of the given simple name. */
    public Optional<Mark> mark(String annotation) {
      return marks.stream().filter(mark -> mark.name().equals(annotation)).findFirst();
    }

    /** Whether, in a model, it declares a layer. */
    public boolean isLayer() {
      return is(MethodTrait.ABSTRACT)
          && !is(MethodTrait.INHERITED)
          && !is(MethodTrait.REDECLARES_RUNTIME);
    }
  }

  /** What a method is. */
  public enum MethodTrait {
    /** Has no body. */
    ABSTRACT,
    /** Declared by a type above. */
    INHERITED,
    /** Has parameters, of types or of values. */
    PARAMETERS,
    /** Has a body that the generated class, whose method {@code namesake} is, would hide. */
    HIDDEN,
    /** Declares a method of the runtime anew, with the same parameters and the same return type. */
    REDECLARES_RUNTIME
  }

  /** What a returned type is. */
  public enum Role {
    /** The runtime's Layer. */
    LAYER,
    /** The runtime's MoE itself. */
    MOE,
    /** An interface that extends the runtime's MoE. */
    MOE_TYPE,
    /** Anything else. */
    OTHER
  }
}
