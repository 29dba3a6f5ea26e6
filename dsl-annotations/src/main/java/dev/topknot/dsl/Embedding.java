package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The first layer of a language model: token ids [tokens] to vectors [tokens, width], a row of a
 * [vocabulary, width] table each.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface Embedding {
  /** The number of different tokens. */
  int vocabulary();

  /** The length of a token's vector. */
  int width();
}
