package dev.topknot.text;

import java.nio.file.Path;

/** Hears how training goes, in the thread that trains. */
public interface TrainingListener {
  /** After every step. */
  default void stepped(Progress progress) {}

  /** After every row of metrics. */
  default void measured(Metrics row) {}

  /** After every checkpoint. */
  default void saved(Path checkpoint, long step) {}
}
