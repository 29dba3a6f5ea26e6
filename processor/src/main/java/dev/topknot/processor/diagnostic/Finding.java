package dev.topknot.processor.diagnostic;

import dev.topknot.processor.model.Site;

/**
 * A problem found.
 *
 * @param text the wording with its values, without the code
 */
public record Finding(Problem problem, Site site, String text) {
  /** The message as it is printed: {@code [TK012] k = 8 exceeds ...}. */
  public String message() {
    return "[" + problem.code() + "] " + text;
  }

  /** The message with a description of the place, for compilers that cannot show it. */
  public String message(String place) {
    return "[" + problem.code() + "] " + place + ": " + text;
  }
}
