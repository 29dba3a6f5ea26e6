package dev.topknot.it.documentation;

import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.ImportTree;
import com.sun.source.tree.Tree;
import com.sun.source.util.JavacTask;
import com.sun.source.util.SourcePositions;
import com.sun.source.util.Trees;
import dev.topknot.it.documentation.Page.Block;
import dev.topknot.it.documentation.Page.Treatment;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/**
 * The source files that the Java blocks of a page make up. Each type is a file of its own, all
 * statements together are the method {@code run} of one class. What a page leaves out stands in the
 * first line of each file, and every line of the page keeps its number.
 */
final class Snippets {
  /** The package of everything on a page. */
  static final String PACKAGE = "demo";

  /** The class with the page's statements. */
  static final String STATEMENTS = "Page";

  /** Its method. */
  static final String METHOD = "run";

  private static final String HEADER =
      "package "
          + PACKAGE
          + "; import dev.topknot.dsl.*; import static dev.topknot.dsl.ActivationFunction.*;"
          + " import static dev.topknot.dsl.Gating.*; import dev.topknot.runtime.*;"
          + " import dev.topknot.text.*; import java.nio.file.*; import java.util.*; ";

  private static final Pattern TYPE =
      Pattern.compile(
          "^(?:public |final |abstract |sealed )*(?:class|@?interface|record|enum) (\\w+)",
          Pattern.MULTILINE);
  private static final Pattern IMPORT = Pattern.compile("^import [^;]+;", Pattern.MULTILINE);

  private static final JavaCompiler COMPILER = ToolProvider.getSystemJavaCompiler();

  private Snippets() {}

  /** A source file. */
  static final class Source extends SimpleJavaFileObject {
    private final Path page;
    private final String name;
    private final String text;

    Source(Path page, String name, String text) {
      super(URI.create("string:///" + PACKAGE + "/" + name + ".java"), Kind.SOURCE);
      this.page = page;
      this.name = name;
      this.text = text;
    }

    /** Binary name of its type. */
    String className() {
      return PACKAGE + "." + name;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }

    @Override
    public String getName() {
      return page.toString();
    }
  }

  /** The types of a page only: what its neighbours may use. */
  static List<Source> types(Page page) throws IOException {
    List<Source> sources = new ArrayList<>();
    for (Block block : page.blocks()) {
      if (block.compiled() && isTypes(block)) {
        sources.addAll(split(page.path(), block));
      }
    }
    return sources;
  }

  /** Everything on a page that is to be compiled. */
  static List<Source> of(Page page) throws IOException {
    List<Source> sources = types(page);
    List<Block> statements =
        page.blocks().stream().filter(b -> b.compiled() && !isTypes(b)).toList();
    List<Block> run = statements.stream().filter(b -> b.treatment() == Treatment.RUN).toList();
    if (!run.isEmpty()) {
      sources.add(statements(page.path(), STATEMENTS, METHOD, run));
    }
    for (Block block : statements) {
      if (block.treatment() == Treatment.COMPILE) {
        sources.add(statements(page.path(), "NotRun" + block.line(), "compiled", List.of(block)));
      }
    }
    return sources;
  }

  private static boolean isTypes(Block block) {
    return TYPE.matcher(block.text()).find();
  }

  private static Source statements(Path page, String name, String method, List<Block> blocks) {
    StringBuilder imports = new StringBuilder();
    StringBuilder body = new StringBuilder();
    int line = 1;
    for (Block block : blocks) {
      Matcher matcher = IMPORT.matcher(block.text());
      matcher.results().forEach(found -> imports.append(found.group()).append(' '));
      body.append("\n".repeat(block.line() - line)).append(matcher.replaceAll(""));
      line = block.line() + (int) block.text().lines().count();
    }
    String start =
        HEADER
            + imports
            + "final class "
            + name
            + " { static void "
            + method
            + "() throws Exception {";
    return new Source(page, name, start + body + "}}\n");
  }

  /** The types of a block, one by one, as more than one may be public. */
  private static List<Source> split(Path page, Block block) throws IOException {
    DiagnosticCollector<JavaFileObject> problems = new DiagnosticCollector<>();
    Source whole = new Source(page, "Block", block.text());
    JavacTask task = (JavacTask) COMPILER.getTask(null, null, problems, null, null, List.of(whole));
    CompilationUnitTree unit = task.parse().iterator().next();
    if (!problems.getDiagnostics().isEmpty()) {
      // Compiling it as it is will say what is wrong.
      return List.of(padded(page, firstType(block.text()), "", block.line(), block.text()));
    }
    SourcePositions positions = Trees.instance(task).getSourcePositions();
    String imports =
        unit.getImports().stream().map(ImportTree::toString).collect(Collectors.joining(" "));
    List<Source> sources = new ArrayList<>();
    for (Tree type : unit.getTypeDecls()) {
      int start = (int) positions.getStartPosition(unit, type);
      int end = (int) positions.getEndPosition(unit, type);
      if (start < 0 || end <= start) {
        continue; // a lone semicolon
      }
      String text = block.text().substring(start, end);
      int line = block.line() + (int) unit.getLineMap().getLineNumber(start) - 1;
      sources.add(padded(page, firstType(text), imports, line, text));
    }
    return sources;
  }

  private static String firstType(String text) {
    Matcher matcher = TYPE.matcher(text);
    if (!matcher.find()) {
      throw new AssertionError("no type in: " + text);
    }
    return matcher.group(1);
  }

  private static Source padded(Path page, String name, String imports, int line, String text) {
    String start = (HEADER + imports).replaceAll("\\R", " ");
    return new Source(page, name, start + "\n".repeat(line - 1) + text + "\n");
  }
}
