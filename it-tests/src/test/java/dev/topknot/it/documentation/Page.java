package dev.topknot.it.documentation;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A page of the documentation and its blocks of code.
 *
 * @param path as messages name it
 * @param blocks in their order
 */
record Page(Path path, List<Block> blocks) {
  private static final Pattern FENCE = Pattern.compile("```(\\w*)");
  private static final Pattern MARK =
      Pattern.compile("<!-- (not run|not java|generated): (.+) -->");

  /** How a block is to be treated. */
  enum Treatment {
    /** Compiled and run. */
    RUN,
    /** Compiled only: {@code <!-- not run: reason -->}. */
    COMPILE,
    /** Left alone: {@code <!-- not java: reason -->}. */
    SKIP,
    /**
     * Compared with a file that the processor writes for the page: {@code <!-- generated: name
     * -->}. A line "…" stands for any number of lines.
     */
    GENERATED
  }

  /**
   * A block of code.
   *
   * @param language what stands behind the opening fence
   * @param line number of its first line of code, from 1
   * @param text its lines, each with its end
   * @param treatment what the comment before it asks for
   * @param remark what that comment says
   */
  record Block(String language, int line, String text, Treatment treatment, String remark) {
    /** Whether it is to be compiled. */
    boolean compiled() {
      return language.equals("java")
          && (treatment == Treatment.RUN || treatment == Treatment.COMPILE);
    }
  }

  /** Takes a page apart. */
  static Page parse(Path path, String text) {
    List<String> lines = text.lines().toList();
    List<Block> blocks = new ArrayList<>();
    String before = "";
    for (int i = 0; i < lines.size(); i++) {
      Matcher fence = FENCE.matcher(lines.get(i));
      if (fence.matches()) {
        int end = i + 1;
        while (end < lines.size() && !lines.get(end).equals("```")) {
          end++;
        }
        if (end == lines.size()) {
          throw new AssertionError(path + ":" + (i + 1) + ": the block does not end");
        }
        StringBuilder code = new StringBuilder();
        lines.subList(i + 1, end).forEach(line -> code.append(line).append('\n'));
        blocks.add(block(fence.group(1), i + 2, code.toString(), before));
        i = end;
        before = "";
      } else if (!lines.get(i).isBlank()) {
        before = lines.get(i);
      }
    }
    return new Page(path, List.copyOf(blocks));
  }

  private static Block block(String language, int line, String code, String before) {
    Matcher mark = MARK.matcher(before);
    if (!mark.matches()) {
      return new Block(language, line, code, Treatment.RUN, "");
    }
    Treatment treatment =
        switch (mark.group(1)) {
          case "not run" -> Treatment.COMPILE;
          case "not java" -> Treatment.SKIP;
          default -> Treatment.GENERATED;
        };
    return new Block(language, line, code, treatment, mark.group(2));
  }

  /** Whether there is anything to check. */
  boolean hasCode() {
    return blocks.stream().anyMatch(b -> b.compiled() || b.treatment() == Treatment.GENERATED);
  }

  @Override
  public String toString() {
    return path.toString();
  }
}
