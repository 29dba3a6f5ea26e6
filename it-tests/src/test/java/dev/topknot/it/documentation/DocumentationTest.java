package dev.topknot.it.documentation;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import dev.topknot.it.documentation.Page.Block;
import dev.topknot.it.documentation.Page.Treatment;
import dev.topknot.it.documentation.Snippets.Source;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.annotation.processing.Processor;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every Java block of README.md and docs is compiled and run, and every excerpt of generated files
 * is what the processor writes. The types of a directory's README.md may be used by the pages
 * beside it. The pages of single problems show what does not compile; the processor's own tests
 * compare them with what the compiler says.
 */
class DocumentationTest {
  private static final Path ROOT = Path.of("..");
  private static final Path PROBLEMS = Path.of("docs", "problems");
  private static final Pattern LINK = Pattern.compile("\\]\\(([^)\\s]+)\\)");
  private static final long LIMIT_SECONDS = 300;

  @TempDir private Path directory;

  static List<Path> pages() throws IOException {
    try (Stream<Path> docs = Files.walk(ROOT.resolve("docs"))) {
      List<Path> pages = new ArrayList<>(List.of(ROOT.resolve("README.md")));
      docs.filter(path -> path.toString().endsWith(".md"))
          .filter(path -> !ROOT.relativize(path).startsWith(PROBLEMS))
          .sorted()
          .forEach(pages::add);
      return pages.stream().map(ROOT::relativize).toList();
    }
  }

  static List<Path> pagesWithCode() throws IOException {
    List<Path> result = new ArrayList<>();
    for (Path path : pages()) {
      if (page(path).hasCode()) {
        result.add(path);
      }
    }
    return result;
  }

  @ParameterizedTest
  @MethodSource("pagesWithCode")
  void whatAPageShowsIsTrue(Path path) throws Exception {
    check(page(path));
  }

  @ParameterizedTest
  @MethodSource("pages")
  void linksLeadSomewhere(Path path) throws IOException {
    assertThat(LINK.matcher(Files.readString(ROOT.resolve(path))).results())
        .extracting(link -> link.group(1))
        .filteredOn(target -> !target.matches("[a-z]+:.*|#.*"))
        .allSatisfy(
            target -> {
              String file = target.replaceFirst("#.*", "");
              assertThat(ROOT.resolve(path).resolveSibling(file)).exists();
            });
  }

  @Test
  void aBlockThatDoesNotCompileIsNamedByFileAndLine() {
    Page page =
        Page.parse(
            Path.of("page.md"), "# A page\n\n```java\nint one = 1;\nint two = \"2\";\n```\n");
    assertThatThrownBy(() -> check(page)).hasMessageContaining("page.md:5: error: incompatible");
  }

  @Test
  void aTypeThatTheProcessorRefusesIsNamedByFileAndLine() {
    String block =
        """
        ```java
        @MoELayer(experts = 4, k = 8, width = 16, tokens = 32)
        @Expert(hidden = 64)
        public interface Wrong extends MoE {}
        ```
        """;
    Page page = Page.parse(Path.of("page.md"), "# A page\n\n" + block);
    assertThatThrownBy(() -> check(page)).hasMessageContaining("page.md:4: error: [TK012]");
  }

  @Test
  void aBlockThatFailsIsNamedByItsLine() {
    Page page =
        Page.parse(Path.of("page.md"), "# A page\n\n```java\nassert 1 > 2 : \"no\";\n```\n");
    assertThatThrownBy(() -> check(page))
        .hasMessageContaining("page.md")
        .hasMessageContaining("AssertionError: no")
        .hasMessageContaining("Page.java:4");
  }

  @Test
  void anExcerptThatIsNotGeneratedIsNamedByFileAndLine() {
    String excerpt = "<!-- generated: TopknotA.java -->\n```java\n  int K = 3;\n```\n";
    String type =
        """
        ```java
        @MoELayer(experts = 4, k = 2, width = 16, tokens = 32)
        @Expert(hidden = 64)
        public interface A extends MoE {}
        ```
        """;
    Page page = Page.parse(Path.of("page.md"), "# A page\n\n" + type + excerpt);
    assertThatThrownBy(() -> check(page)).hasMessageContaining("page.md:10");
  }

  private void check(Page page) throws Exception {
    List<Source> sources = new ArrayList<>(Snippets.of(page));
    Path neighbour = page.path().resolveSibling("README.md");
    if (!page.path().equals(neighbour) && Files.exists(ROOT.resolve(neighbour))) {
      sources.addAll(Snippets.types(page(neighbour)));
    }
    compile(page, sources);
    for (Block block : page.blocks()) {
      if (block.treatment() == Treatment.GENERATED) {
        compare(page, block);
      }
    }
    run(page, sources.stream().map(Source::className).toList());
  }

  private static Page page(Path path) throws IOException {
    return Page.parse(path, Files.readString(ROOT.resolve(path)));
  }

  private Path classes() {
    return directory.resolve("classes");
  }

  private void compile(Page page, List<Source> sources) throws Exception {
    Files.createDirectories(classes());
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    DiagnosticCollector<JavaFileObject> diagnostics = new DiagnosticCollector<>();
    List<String> options =
        List.of(
            "--release",
            "17",
            "-Xlint:all,-processing",
            "-d",
            classes().toString(),
            "-cp",
            System.getProperty("java.class.path"));
    JavaCompiler.CompilationTask task =
        compiler.getTask(null, null, diagnostics, options, null, sources);
    task.setProcessors(List.of(processor()));
    boolean compiled = task.call();
    // Those without a source are about the class path.
    List<String> problems =
        diagnostics.getDiagnostics().stream()
            .filter(it -> it.getKind() != Diagnostic.Kind.NOTE)
            .filter(it -> it.getKind() == Diagnostic.Kind.ERROR || it.getSource() != null)
            .map(DocumentationTest::message)
            .toList();
    if (!compiled || !problems.isEmpty()) {
      fail("%s does not compile:%n%s", page, String.join("\n", problems));
    }
  }

  /** By its name, since naming the class would want annotations that are not on the class path. */
  private static Processor processor() throws ReflectiveOperationException {
    return Class.forName("dev.topknot.processor.TopknotProcessor")
        .asSubclass(Processor.class)
        .getDeclaredConstructor()
        .newInstance();
  }

  private static String message(Diagnostic<? extends JavaFileObject> it) {
    String place =
        it.getSource() == null ? "" : it.getSource().getName() + ":" + it.getLineNumber();
    String kind = it.getKind() == Diagnostic.Kind.ERROR ? "error" : "warning";
    return place + ": " + kind + ": " + it.getMessage(null);
  }

  /** Each run of lines between two "…" must be in the file, one behind the other. */
  private void compare(Page page, Block block) throws IOException {
    String where = page + ":" + block.line();
    List<Path> files;
    try (Stream<Path> all = Files.walk(classes())) {
      files = all.filter(it -> it.endsWith(block.remark())).toList();
    }
    assertThat(files).as("%s: files called %s", where, block.remark()).hasSize(1);
    String file = Files.readString(files.get(0));
    int at = 0;
    for (String part : Pattern.compile("^…\n", Pattern.MULTILINE).split(block.text(), -1)) {
      int found = file.indexOf(part, at);
      if (found < 0) {
        fail("%s: %s has nowhere, or not in this order:%n%s", where, block.remark(), part);
      }
      at = found + part.length();
    }
  }

  private void run(Page page, List<String> classNames) throws Exception {
    SampleText.write(directory);
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-ea:" + Snippets.PACKAGE + "...",
                "-Xmx512m",
                "-XX:MaxDirectMemorySize=512m",
                "-XX:+UseSerialGC",
                "-cp",
                classes() + File.pathSeparator + System.getProperty("java.class.path")));
    if (Runtime.version().feature() >= 22) {
      command.add("--enable-native-access=ALL-UNNAMED");
    }
    command.add(PageRun.class.getName());
    command.addAll(classNames);
    Path output = directory.resolve("output.txt");
    Process process =
        new ProcessBuilder(command)
            .directory(directory.toFile())
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    if (!process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS)) {
      process.destroyForcibly().waitFor();
      fail("%s ran for more than %d s:%n%s", page, LIMIT_SECONDS, Files.readString(output));
    }
    if (process.exitValue() != 0) {
      fail("%s failed; lines of Page.java are the page's:%n%s", page, Files.readString(output));
    }
  }
}
