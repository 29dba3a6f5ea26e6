package dev.topknot.it.generated;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URI;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A package may have types that are called like those of java.lang; generated code uses these. */
class JavaLangTest {
  private static final String SPECS =
      """
      package hiding;

      import dev.topknot.dsl.*;
      import dev.topknot.runtime.*;

      public interface Specs {
        @MoELayer(experts = 4, k = 2, width = 8, tokens = 6)
        @Expert(hidden = 8)
        interface Experts extends MoE {}

        @MoEModel(batch = 2, timesteps = 3)
        interface Model extends LanguageModel {
          @Embedding(vocabulary = 50, width = 8) Layer words();
          @Lstm(units = 8) @Dropout(0.1) @Residual Layer lstm();
          Experts experts();
          @Dense(units = 8) @Activation(ActivationFunction.GELU) Layer dense();
          @Softmax(vocabulary = 50) Layer next();
        }
      }

      """;

  @TempDir private Path directory;

  @Test
  void generatedCodeCompilesBesideTypesOfEachOfItsNames() throws IOException {
    StringBuilder source = new StringBuilder(SPECS);
    List<String> names = javaLang();
    assertThat(names).contains("Override", "String", "Math", "IllegalStateException");
    names.forEach(name -> source.append("class %s {}\n".formatted(name)));
    Path file = Files.writeString(directory.resolve("Specs.java"), source);
    Path classes = Files.createDirectory(directory.resolve("classes"));
    Compiling.into(classes, file);
    assertThat(classes.resolve("hiding"))
        .isDirectoryContaining("glob:**/String.class")
        .isDirectoryContaining("glob:**/TopknotSpecs_ModelCpu.class")
        .isDirectoryContaining("glob:**/TopknotSpecs_ModelCuda.class")
        .isDirectoryContaining("glob:**/TopknotSpecs_Experts.class");
  }

  private static List<String> javaLang() throws IOException {
    Path modules = FileSystems.getFileSystem(URI.create("jrt:/")).getPath("modules");
    try (Stream<Path> files = Files.list(modules.resolve("java.base/java/lang"))) {
      return files
          .map(file -> file.getFileName().toString())
          .filter(name -> name.matches("\\w+\\.class"))
          .map(name -> name.replace(".class", ""))
          .sorted()
          .toList();
    }
  }
}
