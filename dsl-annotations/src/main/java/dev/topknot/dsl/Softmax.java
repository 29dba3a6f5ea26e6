package dev.topknot.dsl;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The last layer of a language model: the distribution over the next token, softmax(x·Wᵀ + b), with
 * W [vocabulary, in], and its cross-entropy with the token that came.
 *
 * <p>Over a large vocabulary most of a training step would be this layer. With {@link #samples},
 * training takes the softmax over a token's target and some candidates only, drawn anew for every
 * batch, log-uniformly and with replacement: P(id) = ln((id + 2) / (id + 1)) / ln(vocabulary + 1),
 * for which ids must be sorted by falling frequency, as those of {@code
 * dev.topknot.text.Vocabulary} are. A logit is corrected by −ln(samples · P(id)), the target's too;
 * a candidate that is the token's target does not count. Evaluation and generation use the full
 * softmax.
 */
@Documented
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
public @interface Softmax {
  /** The number of different tokens; the same as the embedding's. */
  int vocabulary();

  /**
   * How many candidates are drawn for a batch in training, below {@link #vocabulary}. Has no
   * default: left out, training uses the full softmax.
   */
  int samples() default 0;
}
