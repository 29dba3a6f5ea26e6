package dev.topknot.benchmark;

import dev.topknot.runtime.Batch;

/** Text and weights of a language model. */
record ModelValues(Workload.Model model) {
  /** Learning rate of both sides. */
  static final double RATE = 1e-3;

  /** Steps whose losses are compared. */
  static final int COMPARED_STEPS = 3;

  private static final int BATCHES = 8;

  /** Some batches of random words; the tasks take them in turn. */
  Batch[] batches() {
    Batch[] batches = new Batch[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
      batches[i] = Batch.full(ids("inputs " + i), ids("targets " + i));
    }
    return batches;
  }

  private int[] ids(String name) {
    return Values.ids(name, model.tokens(), model.vocabulary());
  }

  /** The first values of a parameter by Topknot's name for it. */
  static float[] parameter(String name, int size) {
    return Values.uniform(name, size, 0.05, 20);
  }
}
