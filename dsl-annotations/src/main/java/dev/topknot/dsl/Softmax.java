package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The last layer of a language model: the distribution over the next token, softmax(x·Wᵀ + b), with
 * W [vocabulary, in], and its cross-entropy with the token that came.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface Softmax {
  /** The number of different tokens; the same as the embedding's. */
  int vocabulary();
}
