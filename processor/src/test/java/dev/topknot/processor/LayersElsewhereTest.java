package dev.topknot.processor;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.testing.compile.Compilation;
import com.google.testing.compile.Compiler;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.annotation.processing.Processor;
import javax.tools.JavaFileObject;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Layer types from the class files of an earlier compilation. */
class LayersElsewhereTest {
  @TempDir private Path library;

  private static String experts(String attributes) {
    return """
    package com.lib;

    import dev.topknot.dsl.*;
    import dev.topknot.runtime.*;

    @MoELayer(%s)
    @Expert(hidden = 8)
    public interface LibExperts extends MoE {}
    """
        .formatted(attributes);
  }

  /** What the processor would write, as far as a model needs it. */
  private static final String ENTRY =
      """
      package com.lib;

      public final class TopknotLibExperts {
        public static LibExperts part(dev.topknot.runtime.MoE layer) {
          throw new UnsupportedOperationException();
        }
      }
      """;

  private static final MarkedSource MODEL =
      MarkedSource.of(
          """
          @MoEModel(batch = 8, timesteps = 20)
          interface News extends LanguageModel {
            @Embedding(vocabulary = 100, width = 16)
            Layer words();

            com.lib.LibExperts experts();

            @Softmax(vocabulary = 100)
            Layer next();
          }
          """);

  private void compileLibrary(String... sources) throws IOException {
    JavaFileObject[] files =
        Arrays.stream(sources)
            .map(
                text ->
                    Compiled.source(
                        text.contains("class TopknotLibExperts")
                            ? "com.lib.TopknotLibExperts"
                            : "com.lib.LibExperts",
                        text))
            .toArray(JavaFileObject[]::new);
    Compilation compilation = Compiler.javac().withOptions("-proc:none").compile(files);
    for (JavaFileObject file : compilation.generatedFiles()) {
      Path path = library.resolve(file.getName().replaceFirst("^/CLASS_OUTPUT/", ""));
      Files.createDirectories(path.getParent());
      try (InputStream in = file.openInputStream()) {
        Files.copy(in, path);
      }
    }
  }

  private List<String> compileModel() {
    return compile(MODEL.file());
  }

  private List<String> compile(JavaFileObject source) {
    List<File> classPath =
        Stream.concat(
                Stream.of(library.toFile()),
                Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                    .map(File::new))
            .collect(Collectors.toList());
    return Compiler.javac()
        .withProcessors(List.<Processor>of(new TopknotProcessor()))
        .withClasspath(classPath)
        .withOptions("-proc:only")
        .compile(source)
        .diagnostics()
        .stream()
        .filter(it -> it.getMessage(Locale.ROOT).contains("[TK"))
        .map(it -> it.getLineNumber() + ": " + it.getMessage(Locale.ROOT))
        .toList();
  }

  @Test
  void whatAnEarlierBuildGeneratedIsInNobodysWay() throws IOException {
    compileLibrary(experts("experts = 4, k = 2, width = 16, tokens = 160"), ENTRY);
    assertThat(
            compile(
                Compiled.source(
                    "com.lib.LibExperts", experts("experts = 8, k = 2, width = 16, tokens = 160"))))
        .isEmpty();
  }

  @Test
  void aGoodLayerIsUsed() throws IOException {
    compileLibrary(experts("experts = 4, k = 2, width = 16, tokens = 160"), ENTRY);
    assertThat(compileModel()).isEmpty();
  }

  @Test
  void whatIsWrongThereIsReportedHere() throws IOException {
    compileLibrary(experts("experts = 4, k = 8, width = 16, tokens = 160"), ENTRY);
    assertThat(compileModel())
        .hasSize(1)
        .allMatch(it -> it.startsWith("8: [TK012] com.lib.LibExperts: k = 8 exceeds experts = 4"));
  }

  @Test
  void warningsAreLeftToTheCompilationThere() throws IOException {
    compileLibrary(experts("experts = 4, k = 1, width = 16, tokens = 160"), ENTRY);
    assertThat(compileModel()).isEmpty();
  }

  @Test
  void whatDoesNotFitQuotesTheValuesThere() throws IOException {
    compileLibrary(experts("experts = 4, k = 2, width = 32, tokens = 640"), ENTRY);
    assertThat(compileModel())
        .hasSize(2)
        .anyMatch(it -> it.startsWith("8: [TK046] experts() works on width = 32"))
        .anyMatch(it -> it.startsWith("8: [TK052] experts() is for tokens = 640"));
  }

  @Test
  void aLayerWithoutGeneratedCodeCannotBeUsed() throws IOException {
    compileLibrary(experts("experts = 4, k = 2, width = 16, tokens = 160"));
    assertThat(compileModel())
        .containsExactly(
            "8: [TK056] experts() returns com.lib.LibExperts, which comes from another compilation"
                + " without TopknotLibExperts; compile it there with the Topknot processor");
  }

  @Test
  void anInterfaceWithoutAnnotationIsNoLayer() throws IOException {
    compileLibrary(
        "package com.lib; public interface LibExperts extends dev.topknot.runtime.MoE {}");
    assertThat(compileModel()).hasSize(1).allMatch(it -> it.startsWith("8: [TK061]"));
  }
}
