package dev.topknot.processor;

import com.google.testing.compile.Compilation;
import com.google.testing.compile.Compiler;
import com.google.testing.compile.JavaFileObjects;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import javax.annotation.processing.Processor;
import javax.tools.Diagnostic;
import javax.tools.JavaFileObject;

/** Sources, compiled with the processor, and what the compiler said. */
final class Compiled {
  private final Compilation compilation;

  private Compiled(Compilation compilation) {
    this.compilation = compilation;
  }

  /** Runs the processor over sources without compiling what it writes. */
  static Compiled processOnly(List<String> options, JavaFileObject... sources) {
    List<String> all = new ArrayList<>(options);
    all.add("-proc:only");
    return with(List.of(new TopknotProcessor()), all, sources);
  }

  static Compiled with(
      List<Processor> processors, List<String> options, JavaFileObject... sources) {
    return new Compiled(
        Compiler.javac().withProcessors(processors).withOptions(options).compile(sources));
  }

  /** A source file: its name comes from the first type in it. */
  static JavaFileObject source(String name, String text) {
    return JavaFileObjects.forSourceString(name, text);
  }

  Compilation compilation() {
    return compilation;
  }

  /** Our messages, in the order in which they are printed. */
  List<Diagnostic<? extends JavaFileObject>> ours() {
    return compilation.diagnostics().stream()
        .filter(it -> it.getMessage(Locale.ROOT).contains("[TK"))
        .collect(Collectors.toList());
  }

  /** Each of our messages as code, line and column: {@code TK012 7:28}. */
  List<String> places() {
    return ours().stream().map(Compiled::place).toList();
  }

  private static String place(Diagnostic<?> diagnostic) {
    return "%s %d:%d"
        .formatted(code(diagnostic), diagnostic.getLineNumber(), diagnostic.getColumnNumber());
  }

  static String code(Diagnostic<?> diagnostic) {
    String message = diagnostic.getMessage(Locale.ROOT);
    int code = message.indexOf("[TK");
    return message.substring(code + 1, message.indexOf(']', code));
  }

  /** Our messages as javac prints them: file, line, message, the line and a caret. */
  String printed() {
    return ours().stream()
        .sorted(Comparator.comparing(Compiled::file))
        .map(Compiled::printed)
        .collect(Collectors.joining());
  }

  private static String file(Diagnostic<? extends JavaFileObject> diagnostic) {
    if (diagnostic.getSource() == null) {
      return "";
    }
    String name = diagnostic.getSource().getName();
    return name.substring(name.lastIndexOf('/') + 1);
  }

  private static String printed(Diagnostic<? extends JavaFileObject> diagnostic) {
    String kind = diagnostic.getKind() == Diagnostic.Kind.ERROR ? "error" : "warning";
    String message = kind + ": " + diagnostic.getMessage(Locale.ROOT) + "\n";
    if (diagnostic.getSource() == null) {
      return message;
    }
    try {
      String line =
          diagnostic
              .getSource()
              .getCharContent(true)
              .toString()
              .lines()
              .skip(diagnostic.getLineNumber() - 1)
              .findFirst()
              .orElseThrow();
      return file(diagnostic)
          + ":"
          + diagnostic.getLineNumber()
          + ": "
          + message
          + line
          + "\n"
          + " ".repeat((int) diagnostic.getColumnNumber() - 1)
          + "^\n";
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
