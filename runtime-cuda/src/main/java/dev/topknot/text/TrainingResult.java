package dev.topknot.text;

import dev.topknot.runtime.Evaluation;
import java.util.Optional;

/**
 * How training ended.
 *
 * @param step updates of the model
 * @param tokens tokens seen
 * @param seconds time of the training steps, without evaluating and saving
 * @param stopped whether it was told to stop before the end
 * @param heldOut how well the model predicts the whole held-out text; empty if it was stopped
 * @param log the rows of metrics and expert loads, those before a resume included
 */
public record TrainingResult(
    long step,
    long tokens,
    double seconds,
    boolean stopped,
    Optional<Evaluation> heldOut,
    TrainingLog log) {}
