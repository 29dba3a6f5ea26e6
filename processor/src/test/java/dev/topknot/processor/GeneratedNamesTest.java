package dev.topknot.processor;

import static com.google.testing.compile.CompilationSubject.assertThat;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** User's names that meet those in generated code: it compiles, or a message says what is wrong. */
class GeneratedNamesTest {
  private static final String MODEL =
      """
      package p;
      import dev.topknot.dsl.*;
      import dev.topknot.runtime.*;
      @MoEModel(batch = 2, timesteps = 3)
      public interface Model extends LanguageModel%s {
        @Embedding(vocabulary = 11, width = 8) dev.topknot.runtime.Layer words();
        %s
        @Softmax(vocabulary = 11) dev.topknot.runtime.Layer next();
      }
      """;

  private static final Pattern MODULE =
      Pattern.compile("dsl-annotations|runtime|dnnl|javacpp|opencl|slf4j-api|jna|jackson-core");

  private static Compiled compiled(List<String> options, JavaFileObject... sources) {
    return Compiled.with(List.of(new TopknotProcessor()), options, sources);
  }

  private static Compiled model(String members) {
    return compiled(
        List.of("-Xlint:all,-processing,-path", "-Werror"),
        Compiled.source("p.Model", MODEL.formatted("", members)));
  }

  @Test
  void typesWithinTheInterfaceDoNotHideImports() {
    Compiled compiled =
        model(
            """
            enum Options { SMALL }
            enum Layout { ROWS }
            interface Entry {}
            interface Override {}
            class List {}
            @MoELayer(experts = 3, k = 2, width = 8, tokens = 6) @Expert(hidden = 5)
            interface Optimizer extends MoE { class Init {} class Device {} }
            Optimizer optimizer();
            """);

    assertThat(compiled.compilation()).succeededWithoutWarnings();
  }

  @Test
  void whatIsDeprecatedOrSerialIsNotReportedInGeneratedCode() {
    Compiled compiled =
        compiled(
            List.of("-Xlint:all,-processing,-path", "-Werror"),
            Compiled.source(
                "p.Model",
                MODEL
                    .formatted(
                        ", java.io.Serializable",
                        "@Deprecated @Lstm(units = 8) dev.topknot.runtime.Layer old();")
                    .replace("@MoEModel", "@Deprecated(forRemoval = true) @MoEModel")));

    assertThat(compiled.compilation()).succeededWithoutWarnings();
  }

  @Test
  void layersMayBeCalledAsThePartsOfALongLayout() {
    StringBuilder members = new StringBuilder();
    for (int i = 0; i < 60; i++) {
      members.append("@Dense(units = 8) dev.topknot.runtime.Layer layout%d();%n".formatted(i));
    }

    assertThat(model(members.toString()).compilation()).succeededWithoutWarnings();
  }

  @Test
  void namesOfFieldsAndMethodsOfGeneratedClassesAreFree() {
    Compiled compiled =
        model(
            Pattern.compile(" ")
                .splitAsStream(
                    "run launches options slices _1 runLayer runLayer_ context optimizer optimizerLayer moe layer adam yield"
                        + " record var forward backward commit on part a$S $ __")
                .map(name -> "@Lstm(units = 8) dev.topknot.runtime.Layer " + name + "();\n")
                .collect(Collectors.joining()));

    assertThat(compiled.compilation()).succeededWithoutWarnings();
  }

  @Test
  void defaultMethodsMayNotClash() {
    Compiled compiled =
        compiled(
            List.of(),
            Compiled.source(
                "p.Model",
                MODEL.formatted(
                    ", Base",
                    """
                    default Model on(Device device) { return this; }
                    default MoE moe(String name) { return null; }
                    default void resetState() {}
                    default Model on() { return this; }
                    static void moe(Device device) {}
                    """)),
            Compiled.source(
                "p.Base",
                """
                package p;
                public interface Base {
                  default Base delegate() { return this; }
                  default int more() { return 1; }
                }
                """),
            Compiled.source(
                "p.Experts",
                """
                package p;
                import dev.topknot.dsl.*;
                import dev.topknot.runtime.*;
                @MoELayer(experts = 3, k = 2, width = 8, tokens = 6) @Expert(hidden = 5)
                public interface Experts extends MoE {
                  default Experts part(MoE layer) { return this; }
                  default long step() { return 3; }
                  default long step(int more) { return step() + more; }
                }
                """));

    assertThat(compiled.places())
        .containsExactly(
            "TK065 5:8", "TK065 7:17", "TK065 8:13", "TK065 9:14", "TK065 6:19", "TK065 7:16");
    assertThat(compiled.compilation()).hadErrorCount(6);
  }

  @Test
  void whereAModuleCannotSeeGeneratedItIsLeftOut(@TempDir Path directory) throws IOException {
    // The first reads the compiler's module; the second only has it in its graph of modules.
    assertThat(entryInModule(directory.resolve("a"), "java.compiler")).contains("@Generated(");
    assertThat(entryInModule(directory.resolve("b"), "jdk.jdeps")).doesNotContain("@Generated(");
  }

  private static String entryInModule(Path directory, String required) throws IOException {
    Files.createDirectories(directory.resolve("p"));
    Path module = directory.resolve("module-info.java");
    Files.writeString(
        module, "module m { requires dev.topknot.runtime; requires " + required + "; }");
    Path model = directory.resolve("p/Model.java");
    Files.writeString(model, MODEL.formatted("", ""));
    JavaCompiler javac = ToolProvider.getSystemJavaCompiler();
    try (StandardJavaFileManager files = javac.getStandardFileManager(null, null, null)) {
      StringWriter messages = new StringWriter();
      JavaCompiler.CompilationTask task =
          javac.getTask(
              messages,
              files,
              null,
              List.of("--module-path", modules(), "-d", directory.toString()),
              null,
              files.getJavaFileObjects(module, model));
      task.setProcessors(List.of(new TopknotProcessor()));
      assertThat(task.call()).as(messages.toString()).isTrue();
    }
    return Files.readString(directory.resolve("p/TopknotModel.java"));
  }

  /** What the runtime's module needs. */
  private static String modules() {
    return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
        .filter(it -> MODULE.matcher(it).find())
        .collect(Collectors.joining(File.pathSeparator));
  }
}
