package dev.topknot.it.generated;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/** Compiles specifications as a user's build does. */
public final class Compiling {
  private Compiling() {}

  /** Compiles a file with the processor into a folder that exists; more options may follow. */
  public static void into(Path classes, Path file, String... more) throws IOException {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    StringWriter messages = new StringWriter();
    List<String> options =
        Stream.concat(
                Stream.of(
                    "-d",
                    classes.toString(),
                    "-classpath",
                    System.getProperty("java.class.path"),
                    "-processor",
                    "dev.topknot.processor.TopknotProcessor"),
                Stream.of(more))
            .toList();
    try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null)) {
      JavaCompiler.CompilationTask task =
          compiler.getTask(messages, files, null, options, null, files.getJavaFileObjects(file));
      assertThat(task.call()).as(messages.toString()).isTrue();
    }
  }
}
