package dev.topknot.benchmark;

import java.io.IOException;

/** One side of the comparison, ready to compute one workload. */
interface Peer extends AutoCloseable {
  /** Name and version of what computes. */
  String version();

  /** Does the task once. */
  void run(Task task);

  /** How it does a task, where it tried several ways and took the fastest; else empty. */
  default String way(Task task) {
    return "";
  }

  /**
   * Writes what a task computes from the first weights and inputs. Called once for each task, in
   * their order, before any is timed.
   *
   * @param out receives the tensors, on both sides in the same order
   */
  void results(Task task, Results.Writer out) throws IOException;

  @Override
  void close();
}
