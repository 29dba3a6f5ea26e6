package dev.topknot.processor;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.JavaFileObject;

/** A source in which a comment with a code stands before the place of each expected message. */
record MarkedSource(String text) {
  private static final Pattern MARK = Pattern.compile("/\\*(TK\\d{3})\\*/ *");
  private static final Pattern TYPE = Pattern.compile("(?:interface|class|record|enum) (\\w+)");
  private static final String HEAD = "import dev.topknot.dsl.*;\nimport dev.topknot.runtime.*;\n";

  /** With the imports that every example has. */
  static MarkedSource of(String text) {
    return new MarkedSource(HEAD + text);
  }

  JavaFileObject file() {
    Matcher type = TYPE.matcher(text);
    assertThat(type.find()).isTrue();
    return Compiled.source(type.group(1), text);
  }

  /** Each mark as code, line and column. */
  List<String> expected() {
    List<String> places = new ArrayList<>();
    Matcher mark = MARK.matcher(text);
    while (mark.find()) {
      String before = text.substring(0, mark.end());
      int line = (int) before.chars().filter(c -> c == '\n').count() + 1;
      int column = before.length() - before.lastIndexOf('\n');
      // Several marks before one place stand for several messages on it.
      Matcher next = MARK.matcher(text).region(mark.end(), text.length());
      while (next.lookingAt()) {
        column += next.end() - next.start();
        next.region(next.end(), text.length());
      }
      places.add("%s %d:%d".formatted(mark.group(1), line, column));
    }
    return places;
  }

  /** Compiles and compares: exactly the marked messages. */
  void check(String... options) {
    Compiled compiled = Compiled.processOnly(List.of(options), file());
    assertThat(compiled.places()).containsExactlyInAnyOrderElementsOf(expected());
  }

  /** Compiles and compares the codes only, each once. */
  void checkCodes(List<String> codes) {
    Compiled compiled = Compiled.processOnly(List.of(), file());
    assertThat(compiled.ours()).extracting(Compiled::code).hasSameElementsAs(codes);
  }
}
