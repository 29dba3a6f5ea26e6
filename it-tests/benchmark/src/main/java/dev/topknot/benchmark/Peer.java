package dev.topknot.benchmark;

import java.io.IOException;

/** One side of the comparison, ready to compute one workload. */
interface Peer extends AutoCloseable {
  /** Does the task once. */
  void run(Task task);

  /**
   * Writes what it computes from the first weights and inputs. Called once, before any task.
   *
   * @param out receives the tensors, on both sides in the same order
   */
  void results(Results.Writer out) throws IOException;

  @Override
  void close();
}
