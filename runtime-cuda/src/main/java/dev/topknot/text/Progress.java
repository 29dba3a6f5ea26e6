package dev.topknot.text;

import dev.topknot.runtime.Step;

/**
 * How far training is.
 *
 * @param step what the latest step did
 * @param position steps done since the start of training on this corpus
 * @param steps steps to do in all, fewer if the time ends first
 * @param tokens tokens seen
 * @param fraction part of the work done, 0 to 1, by steps or by time, whichever ends first
 */
public record Progress(Step step, long position, long steps, long tokens, double fraction) {}
