package dev.topknot.processor;

import java.util.Arrays;
import java.util.stream.Collectors;

/** The essence of a stack trace, on one line. */
final class Essence {
  private static final int FRAMES = 4;

  private Essence() {}

  /** The exception, its root cause and the innermost places: {@code X: why, at A.b(A.java:1)}. */
  static String of(Throwable thrown) {
    Throwable root = thrown;
    while (root.getCause() != null && root.getCause() != root) {
      root = root.getCause();
    }
    String text = root == thrown ? thrown.toString() : thrown + ", caused by " + root;
    String frames =
        Arrays.stream(root.getStackTrace())
            .limit(FRAMES)
            .map(StackTraceElement::toString)
            .collect(Collectors.joining(" < "));
    return text.replaceAll("\\s+", " ") + ", at " + frames;
  }
}
