package dev.topknot.processor;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.processor.diagnostic.Problem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.JavaFileObject;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Every problem has a page whose example is compiled here, and whose output is what the compiler
 * prints for it: message, line and column. {@code -Dtopknot.pages=write} writes the output anew.
 */
class ProblemPagesTest {
  private static final Path PAGES = Path.of("../docs/problems");

  /** What no source can cause; {@link ProcessorFailuresTest} has their cases. */
  private static final Set<Problem> WITHOUT_EXAMPLE =
      Set.of(Problem.LAYER_NOT_COMPILED, Problem.CANNOT_WRITE, Problem.CRASH);

  private static final Pattern BLOCK =
      Pattern.compile("```(java|text|sh)\n(.*?)```", Pattern.DOTALL);
  private static final Pattern TYPE = Pattern.compile("(?:interface|class|record) (\\w+)");
  private static final Pattern OPTION = Pattern.compile("-A\\S+");

  @Test
  void codesAreUniqueAndInOrder() {
    List<String> codes = Arrays.stream(Problem.values()).map(Problem::code).toList();
    assertThat(codes).doesNotHaveDuplicates().isSorted().allMatch(it -> it.matches("TK\\d{3}"));
  }

  @Test
  void everyPageIsThatOfAProblem() throws IOException {
    try (Stream<Path> pages = Files.list(PAGES)) {
      Set<String> names =
          pages
              .map(it -> it.getFileName().toString())
              .collect(Collectors.toCollection(TreeSet::new));
      Set<String> expected =
          Arrays.stream(Problem.values())
              .map(it -> it.code() + ".md")
              .collect(Collectors.toCollection(TreeSet::new));
      expected.add("README.md");
      assertThat(names).isEqualTo(expected);
    }
  }

  @Test
  void theIndexListsEveryProblem() throws IOException {
    String rows =
        Arrays.stream(Problem.values())
            .map(
                it ->
                    "| [%s](%s.md) | %s | %s |\n"
                        .formatted(
                            it.code(), it.code(), it.isError() ? "error" : "warning", it.title()))
            .collect(Collectors.joining());
    assertThat(Files.readString(PAGES.resolve("README.md"))).endsWith("|---|---|---|\n" + rows);
  }

  @ParameterizedTest
  @EnumSource(Problem.class)
  void pageShowsWhatTheCompilerPrints(Problem problem) throws IOException {
    Path file = PAGES.resolve(problem.code() + ".md");
    String page = Files.readString(file);
    assertThat(page).startsWith("# " + problem.code() + ": " + problem.title() + "\n");
    assertThat(page).contains("\n## What to do\n");
    if (WITHOUT_EXAMPLE.contains(problem)) {
      assertThat(page).contains("```text\n[" + problem.code() + "] " + problem.wording() + "\n```");
      return;
    }
    Compiled compiled = compile(page);
    assertThat(compiled.ours()).extracting(Compiled::code).containsExactly(problem.code());
    String printed = compiled.printed();
    if ("write".equals(System.getProperty("topknot.pages"))) {
      Files.writeString(file, withText(page, printed));
    } else {
      assertThat(block(page, "text")).hasValue(printed);
    }
  }

  private static Compiled compile(String page) {
    List<String> options = new ArrayList<>();
    block(page, "sh")
        .ifPresent(it -> OPTION.matcher(it).results().forEach(o -> options.add(o.group())));
    return Compiled.processOnly(options, source(block(page, "java").orElseThrow()));
  }

  private static JavaFileObject source(String text) {
    Matcher type = TYPE.matcher(text);
    assertThat(type.find()).isTrue();
    return Compiled.source(type.group(1), text);
  }

  private static Optional<String> block(String page, String language) {
    return BLOCK
        .matcher(page)
        .results()
        .filter(it -> it.group(1).equals(language))
        .map(it -> it.group(2))
        .findFirst();
  }

  private static String withText(String page, String printed) {
    return BLOCK
        .matcher(page)
        .replaceAll(
            it ->
                Matcher.quoteReplacement(
                    it.group(1).equals("text") ? "```text\n" + printed + "```" : it.group()));
  }
}
