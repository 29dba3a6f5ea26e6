package dev.topknot.processor.write.java;

import com.palantir.javapoet.CodeBlock;

/** Numbers and names as generated code writes them. */
final class Literals {
  private Literals() {}

  /** With underscores between thousands: {@code 10_000}. */
  static String grouped(long value) {
    StringBuilder digits = new StringBuilder(Long.toString(value));
    int first = value < 0 ? 1 : 0;
    for (int end = digits.length() - 3; end > first; end -= 3) {
      digits.insert(end, '_');
    }
    return digits.toString();
  }

  /** An int literal; small ones without underscores. */
  static CodeBlock integer(long value) {
    return CodeBlock.of("$L", grouped(value));
  }

  /** A long literal. */
  static CodeBlock longInteger(long value) {
    return CodeBlock.of("$LL", grouped(value));
  }

  /** With a capital first letter. */
  static String capitalised(String name) {
    return Character.toUpperCase(name.charAt(0)) + name.substring(1);
  }

  /** With a small first letter. */
  static String decapitalised(String name) {
    return Character.toLowerCase(name.charAt(0)) + name.substring(1);
  }
}
