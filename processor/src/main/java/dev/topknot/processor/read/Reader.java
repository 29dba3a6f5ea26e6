package dev.topknot.processor.read;

import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Declaration.MethodTrait;
import dev.topknot.processor.model.Declaration.Role;
import dev.topknot.processor.model.Declaration.Trait;
import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.RuntimeTypes;
import dev.topknot.processor.model.Site;
import dev.topknot.processor.model.SpecName;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import javax.lang.model.element.Element;
import javax.lang.model.element.ElementKind;
import javax.lang.model.element.ExecutableElement;
import javax.lang.model.element.Modifier;
import javax.lang.model.element.ModuleElement;
import javax.lang.model.element.NestingKind;
import javax.lang.model.element.TypeElement;
import javax.lang.model.type.DeclaredType;
import javax.lang.model.type.ExecutableType;
import javax.lang.model.type.TypeMirror;
import javax.lang.model.util.ElementFilter;
import javax.lang.model.util.Elements;
import javax.lang.model.util.Types;

/** Reads annotated types into declarations and their values' positions into {@link Places}. */
public final class Reader {
  private static final Set<String> COMPILED = Set.of("MoELayer", "MoEModel");
  private static final String MODEL = "dev.topknot.dsl.MoEModel";

  private final Elements elements;
  private final Types types;
  private final Places places;
  private final AnnotationReader annotations;
  private final Predicate<TypeElement> source;

  /** Read when first needed, for most rounds have nothing to read. */
  private RuntimeMethods runtime;

  /**
   * Reads with the compiler's own elements and types.
   *
   * @param source whether a top-level type's source is part of the compilation
   */
  public Reader(Elements elements, Types types, Places places, Predicate<TypeElement> source) {
    this.elements = elements;
    this.types = types;
    this.places = places;
    this.annotations = new AnnotationReader(places);
    this.source = source;
  }

  /** Reads a type. Its own types must exist: see {@link Unresolved}. */
  public Declaration read(TypeElement type) {
    return read(type, true);
  }

  /**
   * Reads a type.
   *
   * @param deep whether to read the layer types that its methods return
   */
  private Declaration read(TypeElement type, boolean deep) {
    SpecName name = name(type);
    Site site = locate(type);
    List<Mark> marks = annotations.read(type, site);
    places.add(site, Place.of(type));
    return new Declaration(name, kind(type), traits(type), marks, methods(type, site, deep));
  }

  /** Reads the annotated types within a type's methods, which the compiler shows to nobody. */
  public List<Declaration> readLocals(TypeElement type) {
    List<Declaration> locals = new ArrayList<>();
    for (SourceTrees.Local local :
        places.trees().map(it -> it.locals(type, COMPILED)).orElse(List.of())) {
      // The number tells locals of one name apart.
      String within = name(type).qualified() + "#" + locals.size();
      SpecName name = new SpecName(within, List.of(local.name()));
      places.locate(Site.of(name), Place.within(type, local.printer()));
      locals.add(new Declaration(name, "interface", Set.of(Trait.LOCAL), List.of(), List.of()));
    }
    return locals;
  }

  /** The place of a type, for a message on the type itself. */
  public Site locate(TypeElement type) {
    Site site = Site.of(name(type));
    places.locate(site, Place.of(type));
    return site;
  }

  /** A type's name. */
  public SpecName name(TypeElement type) {
    Deque<String> simpleNames = new ArrayDeque<>();
    Element element = type;
    for (; isType(element); element = element.getEnclosingElement()) {
      simpleNames.addFirst(element.getSimpleName().toString());
    }
    return new SpecName(
        elements.getPackageOf(type).getQualifiedName().toString(), List.copyOf(simpleNames));
  }

  /** Whether an element is a class or an interface of any kind. */
  public static boolean isType(Element element) {
    return element.getKind().isClass() || element.getKind().isInterface();
  }

  private static String kind(TypeElement type) {
    return switch (type.getKind()) {
      case INTERFACE -> "interface";
      case ANNOTATION_TYPE -> "annotation type";
      case ENUM -> "enum";
      case RECORD -> "record";
      default -> "class";
    };
  }

  private Set<Trait> traits(TypeElement type) {
    Set<Trait> traits = EnumSet.noneOf(Trait.class);
    boolean isPublic = true;
    Element outermost = type;
    for (Element it = type; isType(it); it = it.getEnclosingElement()) {
      isPublic &= it.getModifiers().contains(Modifier.PUBLIC);
      if (it.getModifiers().contains(Modifier.PRIVATE)) {
        traits.add(Trait.PRIVATE);
      }
      outermost = it;
    }
    add(traits, Trait.PUBLIC, isPublic);
    add(traits, Trait.LOCAL, type.getNestingKind() == NestingKind.LOCAL);
    add(traits, Trait.GENERIC, !type.getTypeParameters().isEmpty());
    add(traits, Trait.SEALED, type.getModifiers().contains(Modifier.SEALED));
    add(traits, Trait.EXTENDS_MOE, extendsRuntime(type, RuntimeTypes.MOE));
    add(traits, Trait.EXTENDS_LANGUAGE_MODEL, extendsRuntime(type, RuntimeTypes.LANGUAGE_MODEL));
    add(traits, Trait.SOURCE, outermost instanceof TypeElement topLevel && source.test(topLevel));
    add(traits, Trait.COMPILED, isCompiled(type));
    return traits;
  }

  /** Asks the type's own module where there are modules: to search all of them takes long. */
  private boolean isCompiled(TypeElement type) {
    String entry = name(type).qualifiedEntry();
    ModuleElement module = elements.getModuleOf(type);
    return (module == null
            ? elements.getTypeElement(entry)
            : elements.getTypeElement(module, entry))
        != null;
  }

  private static <E extends Enum<E>> void add(Set<E> traits, E trait, boolean has) {
    if (has) {
      traits.add(trait);
    }
  }

  private boolean extendsRuntime(TypeElement type, String runtimeType) {
    TypeElement above = elements.getTypeElement(runtimeType);
    return above != null
        && !type.equals(above)
        && types.isSubtype(types.erasure(type.asType()), types.erasure(above.asType()));
  }

  private List<Method> methods(TypeElement type, Site site, boolean deep) {
    List<Method> methods = new ArrayList<>();
    for (ExecutableElement method : ElementFilter.methodsIn(type.getEnclosedElements())) {
      methods.add(method(type, method, site, deep));
    }
    if (type.getKind() != ElementKind.INTERFACE) {
      return methods;
    }
    List<ExecutableElement> members = ElementFilter.methodsIn(elements.getAllMembers(type));
    for (ExecutableElement method : members) {
      if (!method.getEnclosingElement().equals(type)
          && (method.getModifiers().contains(Modifier.ABSTRACT)
              ? !runtime().declares(method, isModel(type))
              : hides(method, type).isPresent())
          && members.stream().noneMatch(it -> overrides(it, method, type))) {
        methods.add(method(type, method, site, deep));
      }
    }
    return methods;
  }

  /**
   * Whether a method of a type overrides another one. ecj lists both where the interface of the
   * other is named first, and takes unrelated abstract methods for overriding each other when
   * asked.
   */
  private boolean overrides(ExecutableElement method, ExecutableElement above, TypeElement in) {
    Element owner = method.getEnclosingElement();
    Element ownerAbove = above.getEnclosingElement();
    DeclaredType type = (DeclaredType) in.asType();
    return !owner.equals(ownerAbove)
        && method.getSimpleName().contentEquals(above.getSimpleName())
        && types.isSubtype(types.erasure(owner.asType()), types.erasure(ownerAbove.asType()))
        && types.isSubsignature(
            (ExecutableType) types.asMemberOf(type, method),
            (ExecutableType) types.asMemberOf(type, above));
  }

  private RuntimeMethods runtime() {
    if (runtime == null) {
      runtime = new RuntimeMethods(elements);
    }
    return runtime;
  }

  private Optional<String> hides(ExecutableElement method, TypeElement by) {
    return runtime().hides(method, isModel(by));
  }

  /** Whether a type is annotated as a model. */
  public static boolean isModel(TypeElement type) {
    return AnnotationReader.find(type, MODEL).isPresent();
  }

  private Method method(TypeElement type, ExecutableElement method, Site typeSite, boolean deep) {
    String name = method.getSimpleName().toString();
    TypeElement from = (TypeElement) method.getEnclosingElement();
    boolean inherited = !from.equals(type);
    Site site = typeSite.then(signature(method));
    // What is inherited is reported on the type that inherits it.
    List<Mark> marks = List.of();
    if (!inherited) {
      marks = annotations.read(method, site);
      places.add(site, Place.of(method));
    }
    Set<MethodTrait> traits = EnumSet.noneOf(MethodTrait.class);
    add(traits, MethodTrait.ABSTRACT, method.getModifiers().contains(Modifier.ABSTRACT));
    add(traits, MethodTrait.INHERITED, inherited);
    add(
        traits,
        MethodTrait.PARAMETERS,
        !method.getParameters().isEmpty() || !method.getTypeParameters().isEmpty());
    add(
        traits,
        MethodTrait.REDECLARES_RUNTIME,
        marks.isEmpty() && runtime().redeclared(method, type, isModel(type)));
    Optional<String> hides = hides(method, type);
    add(traits, MethodTrait.HIDDEN, hides.isPresent());
    Optional<TypeElement> returned = declared(method.getReturnType());
    Role role = returned.map(this::role).orElse(Role.OTHER);
    Optional<Declaration> layer =
        returned
            .filter(it -> deep && role == Role.MOE_TYPE && !inherited)
            .map(it -> read(it, false))
            .filter(it -> it.mark("MoELayer").isPresent());
    return new Method(
        name,
        signature(method),
        site,
        traits,
        name(from).qualified(),
        returned.map(it -> name(it).nested()).orElseGet(() -> method.getReturnType().toString()),
        role,
        layer,
        hides.or(() -> runtime().namesake(name)),
        marks);
  }

  private Role role(TypeElement type) {
    String name = type.getQualifiedName().toString();
    if (name.equals(RuntimeTypes.LAYER)) {
      return Role.LAYER;
    }
    if (name.equals(RuntimeTypes.MOE)) {
      return Role.MOE;
    }
    return type.getKind() == ElementKind.INTERFACE && extendsRuntime(type, RuntimeTypes.MOE)
        ? Role.MOE_TYPE
        : Role.OTHER;
  }

  private static Optional<TypeElement> declared(TypeMirror type) {
    return type instanceof DeclaredType declared
            && declared.asElement() instanceof TypeElement element
            && declared.getTypeArguments().isEmpty()
        ? Optional.of(element)
        : Optional.empty();
  }

  static String signature(ExecutableElement method) {
    return method.getParameters().stream()
        .map(parameter -> parameter.asType().toString())
        .collect(Collectors.joining(", ", method.getSimpleName() + "(", ")"));
  }
}
