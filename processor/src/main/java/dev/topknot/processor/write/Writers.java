package dev.topknot.processor.write;

import dev.topknot.processor.model.SpecName;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.write.java.JavaWriter;
import dev.topknot.processor.write.report.ReportWriter;
import java.io.IOException;
import java.io.Writer;
import java.util.Optional;
import javax.annotation.processing.Filer;
import javax.lang.model.element.Element;
import javax.tools.FileObject;
import javax.tools.StandardLocation;

/** Hands a plan to every writer and its files to the compiler. */
public final class Writers {
  private final Filer filer;
  private final Optional<String> generated;

  /**
   * Prepares the writers.
   *
   * @param generated the name of the {@code @Generated} that the compilation knows, if it does
   */
  public Writers(Filer filer, Optional<String> generated) {
    this.filer = filer;
    this.generated = generated;
  }

  /**
   * Writes all files of a plan.
   *
   * @param root the annotated interface, the only originating element of each file
   */
  public void write(Plan plan, Element root) throws IOException {
    SpecName name = plan.spec().name();
    for (JavaWriter.Source source : JavaWriter.write(plan, generated)) {
      write(name, source, root);
    }
    write(
        filer.createResource(
            StandardLocation.CLASS_OUTPUT, name.packageName(), name.flat() + ".topknot.md", root),
        ReportWriter.write(plan));
  }

  /**
   * Writes the entry class of an interface that has errors.
   *
   * @param isModel whether it is a model; else a layer
   */
  public void writeBroken(SpecName name, boolean isPublic, boolean isModel, Element root)
      throws IOException {
    write(name, JavaWriter.writeBroken(name, isPublic, isModel, generated), root);
  }

  private void write(SpecName name, JavaWriter.Source source, Element root) throws IOException {
    write(filer.createSourceFile(name.inPackage(source.simpleName()), root), source.text());
  }

  private static void write(FileObject file, String text) throws IOException {
    try (Writer writer = file.openWriter()) {
      writer.write(text);
    }
  }
}
