package dev.topknot.processor.read;

import java.util.List;

/** Ordinal numbers in words. */
final class Ordinal {
  private static final List<String> WORDS =
      List.of(
          "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
          "tenth");

  private Ordinal() {}

  /** The word for a number from 1 on: second, 11th. */
  static String word(int number) {
    return number <= WORDS.size() ? WORDS.get(number - 1) : number + "th";
  }
}
