package dev.topknot.processor.write;

import dev.topknot.processor.model.SpecName;
import dev.topknot.processor.plan.KernelNames;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.write.cuda.CuWriter;
import dev.topknot.processor.write.java.JavaWriter;
import dev.topknot.processor.write.report.ReportWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;
import javax.annotation.processing.Filer;
import javax.lang.model.element.Element;
import javax.lang.model.element.ModuleElement;
import javax.lang.model.element.TypeElement;
import javax.lang.model.util.ElementFilter;
import javax.lang.model.util.Elements;
import javax.tools.FileObject;
import javax.tools.StandardLocation;

/** Hands a plan to every writer and its files to the compiler. */
public final class Writers {
  private static final String GENERATED = "javax.annotation.processing.Generated";

  private final Filer filer;
  private final Elements elements;

  /** Prepares the writers. */
  public Writers(Filer filer, Elements elements) {
    this.filer = filer;
    this.elements = elements;
  }

  /**
   * Writes all files of a plan.
   *
   * @param root the annotated interface, the only originating element of each file
   */
  public void write(Plan plan, TypeElement root) throws IOException {
    SpecName name = plan.spec().name();
    Set<String> inherited =
        ElementFilter.typesIn(elements.getAllMembers(root)).stream()
            .map(type -> type.getSimpleName().toString())
            .collect(Collectors.toCollection(TreeSet::new));
    Optional<KernelNames> kernels = KernelNames.of(plan);
    CompletableFuture<String> report =
        CompletableFuture.supplyAsync(() -> ReportWriter.write(plan, kernels));
    for (JavaWriter.Source source : java(name, root).write(plan, kernels, inherited)) {
      write(name, source, root);
    }
    if (kernels.isPresent()) {
      resource(name, ".cu", CuWriter.write(plan, kernels.get()), root);
    }
    resource(name, ".topknot.md", report.join(), root);
  }

  private void resource(SpecName name, String extension, String text, Element root)
      throws IOException {
    FileObject file =
        filer.createResource(
            StandardLocation.CLASS_OUTPUT, name.packageName(), name.flat() + extension, root);
    // Not in the encoding of the sources, which may lack what the text says.
    try (OutputStream stream = file.openOutputStream()) {
      stream.write(text.getBytes(StandardCharsets.UTF_8));
    }
  }

  private JavaWriter java(SpecName name, Element root) {
    return new JavaWriter(
        isThere(GENERATED, root) ? Optional.of(GENERATED) : Optional.empty(),
        simple -> isThere(name.inPackage(simple), root));
  }

  /** Whether a type's module has or reads another. */
  private boolean isThere(String qualified, Element from) {
    ModuleElement module = elements.getModuleOf(from);
    TypeElement type =
        module == null
            ? elements.getTypeElement(qualified)
            : elements.getTypeElement(module, qualified);
    return type != null;
  }

  /**
   * Writes the entry class of an interface that has errors.
   *
   * @param isModel whether it is a model; else a layer
   */
  public void writeBroken(SpecName name, boolean isPublic, boolean isModel, Element root)
      throws IOException {
    write(name, java(name, root).writeBroken(name, isPublic, isModel), root);
  }

  private void write(SpecName name, JavaWriter.Source source, Element root) throws IOException {
    FileObject file = filer.createSourceFile(name.inPackage(source.simpleName()), root);
    try (Writer writer = file.openWriter()) {
      writer.write(source.text());
    }
  }
}
