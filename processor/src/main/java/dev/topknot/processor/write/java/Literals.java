package dev.topknot.processor.write.java;

import com.palantir.javapoet.CodeBlock;
import java.util.Locale;

/** Numbers and names as generated code writes them. */
final class Literals {
  private Literals() {}

  /** With underscores between thousands: {@code 10_000}. */
  static String grouped(long value) {
    return String.format(Locale.ROOT, "%,d", value).replace(',', '_');
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
