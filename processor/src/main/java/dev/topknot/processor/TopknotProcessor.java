package dev.topknot.processor;

import com.google.auto.service.AutoService;
import dev.topknot.processor.check.GeneratedNames;
import dev.topknot.processor.check.Rules;
import dev.topknot.processor.diagnostic.Finding;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.diagnostic.Report;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Trait;
import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.Site;
import dev.topknot.processor.plan.DeviceCalls;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.Planner;
import dev.topknot.processor.read.Places;
import dev.topknot.processor.read.Reader;
import dev.topknot.processor.read.SpecReader;
import dev.topknot.processor.read.Unresolved;
import dev.topknot.processor.write.Writers;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import javax.annotation.processing.AbstractProcessor;
import javax.annotation.processing.ProcessingEnvironment;
import javax.annotation.processing.Processor;
import javax.annotation.processing.RoundEnvironment;
import javax.lang.model.SourceVersion;
import javax.lang.model.element.Element;
import javax.lang.model.element.TypeElement;
import javax.lang.model.util.ElementFilter;
import javax.tools.Diagnostic;

/** Compiles Topknot's annotated interfaces. */
@AutoService(Processor.class)
public final class TopknotProcessor extends AbstractProcessor {
  private static final String ANNOTATIONS = "dev.topknot.dsl";

  private final Report report = new Report();
  private final GeneratedNames names = new GeneratedNames();

  /** Annotated types that wait for other types, by name, with what they wait for. */
  private final Map<String, Optional<String>> deferred = new LinkedHashMap<>();

  /** Annotated types that have errors. */
  private final Set<String> broken = new HashSet<>();

  private MemoryLimit limit;
  private Places places;
  private Reader reader;
  private Writers writers;

  /** Any: the compiler does not tell of annotations within methods, nor of types without any. */
  @Override
  public Set<String> getSupportedAnnotationTypes() {
    return Set.of("*");
  }

  @Override
  public Set<String> getSupportedOptions() {
    return Set.of(MemoryLimit.OPTION);
  }

  @Override
  public SourceVersion getSupportedSourceVersion() {
    return SourceVersion.latestSupported();
  }

  @Override
  public synchronized void init(ProcessingEnvironment environment) {
    super.init(environment);
    limit = MemoryLimit.read(environment.getOptions(), report);
    writers = new Writers(environment.getFiler(), environment.getElementUtils());
  }

  @Override
  public boolean process(Set<? extends TypeElement> annotations, RoundEnvironment round) {
    try {
      round(annotations, round);
    } catch (RuntimeException | StackOverflowError | LinkageError e) {
      // Not even the places are sure here.
      Finding crash =
          new Finding(
              Problem.CRASH, Site.nowhere(), Problem.CRASH.text("this compilation", Essence.of(e)));
      processingEnv.getMessager().printMessage(Diagnostic.Kind.ERROR, crash.message());
    }
    return false;
  }

  /** A round: what earlier rounds left, then what is new; the report at its end. */
  private void round(Set<? extends TypeElement> annotations, RoundEnvironment round) {
    places = new Places(processingEnv);
    reader =
        new Reader(
            processingEnv.getElementUtils(),
            processingEnv.getTypeUtils(),
            places,
            type -> names.isSource(type.getQualifiedName().toString()));
    Set<TypeElement> roots = ElementFilter.typesIn(round.getRootElements());
    roots.forEach(type -> names.source(type.getQualifiedName().toString()));
    if (round.processingOver()) {
      deferred.forEach(this::reportMissing);
    } else {
      for (TypeElement type : roots) {
        if (names.isSource(type.getQualifiedName().toString())) {
          guarded(type, this::checkLocals);
        }
      }
      annotatedTypes(annotations, round).forEach(type -> guarded(type, this::compile));
    }
    report.print(places);
  }

  /** The pipeline: read, check, plan, write. */
  private void compile(TypeElement type) throws IOException {
    Optional<String> missing = Unresolved.in(type);
    if (missing.isPresent()) {
      defer(type, missing);
      return;
    }
    Declaration declaration = reader.read(type);
    if (declaration.allMarks().anyMatch(mark -> !mark.unreadable().isEmpty())) {
      defer(type, Optional.empty());
      return;
    }

    long errors = report.errors();
    Rules.check(declaration, report);
    if (!wantsCode(declaration)) {
      return;
    }
    names.check(declaration, report);
    if (report.errors() > errors || !declaration.complete() || usesBroken(declaration)) {
      writeBroken(declaration, type);
      return;
    }

    Plan plan = Planner.plan(SpecReader.read(declaration));
    limit.check(plan, annotation(declaration).site(), report);
    if (report.errors() > errors) {
      writeBroken(declaration, type);
      return;
    }

    DeviceCalls.excess(plan)
        .ifPresent(
            launch ->
                report.add(
                    Problem.CPU_ONLY,
                    annotation(declaration).site(),
                    declaration.name().nested(),
                    launch));
    writers.write(plan, type);
  }

  /** Annotated types of this round and those deferred; layers before the models that use them. */
  private List<TypeElement> annotatedTypes(
      Set<? extends TypeElement> annotations, RoundEnvironment round) {
    Set<TypeElement> types = new LinkedHashSet<>();
    for (String name : List.copyOf(deferred.keySet())) {
      TypeElement type = processingEnv.getElementUtils().getTypeElement(name);
      if (type != null) {
        types.add(type);
        deferred.remove(name);
      }
    }
    TypeElement[] ours = annotations.stream().filter(this::isOurs).toArray(TypeElement[]::new);
    if (ours.length > 0) {
      for (Element element : round.getElementsAnnotatedWithAny(ours)) {
        types.add((TypeElement) (Reader.isType(element) ? element : element.getEnclosingElement()));
      }
    }
    // Messages come in the order of the sources all the same.
    types.forEach(reader::locate);
    List<TypeElement> layersFirst = new ArrayList<>(types);
    layersFirst.sort(Comparator.comparing(Reader::isModel));
    return layersFirst;
  }

  private boolean isOurs(TypeElement annotation) {
    return processingEnv
        .getElementUtils()
        .getPackageOf(annotation)
        .getQualifiedName()
        .contentEquals(ANNOTATIONS);
  }

  private void defer(TypeElement type, Optional<String> missing) {
    deferred.put(type.getQualifiedName().toString(), missing);
  }

  /** The compiler says which type is missing; this says what is missing because of that. */
  private void reportMissing(String name, Optional<String> missing) {
    TypeElement type = processingEnv.getElementUtils().getTypeElement(name);
    if (type != null && missing.isPresent()) {
      report.add(
          Problem.TYPE_MISSING, reader.locate(type), reader.name(type).nested(), missing.get());
    }
  }

  private void checkLocals(TypeElement type) {
    reader.readLocals(type).forEach(local -> Rules.check(local, report));
  }

  private static boolean wantsCode(Declaration declaration) {
    return declaration.mark("MoELayer").or(() -> declaration.mark("MoEModel")).isPresent();
  }

  private static Mark annotation(Declaration declaration) {
    return declaration.mark("MoEModel").or(() -> declaration.mark("MoELayer")).orElseThrow();
  }

  /** Whether a layer type has errors, which are reported there and not here again. */
  private boolean usesBroken(Declaration declaration) {
    return declaration.layers().stream()
        .flatMap(method -> method.layer().stream())
        .anyMatch(layer -> broken.contains(layer.name().qualified()));
  }

  /** Writes an entry class that only throws, so that nobody searches for a missing class. */
  private void writeBroken(Declaration declaration, TypeElement type) throws IOException {
    broken.add(declaration.name().qualified());
    boolean visible = !declaration.is(Trait.PRIVATE) && !declaration.is(Trait.LOCAL);
    if (visible && names.owns(declaration.name())) {
      writers.writeBroken(
          declaration.name(),
          declaration.is(Trait.PUBLIC),
          declaration.mark("MoEModel").isPresent(),
          type);
    }
  }

  private interface Action {
    void on(TypeElement type) throws IOException;
  }

  /** Whatever fails, is a message and not the end of the user's compilation. */
  private void guarded(TypeElement type, Action action) {
    try {
      action.on(type);
    } catch (IOException e) {
      report.add(
          Problem.CANNOT_WRITE, reader.locate(type), reader.name(type).nested(), e.toString());
    } catch (RuntimeException | StackOverflowError | LinkageError e) {
      report.add(Problem.CRASH, reader.locate(type), reader.name(type).nested(), Essence.of(e));
    }
  }
}
