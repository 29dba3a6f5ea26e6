package dev.topknot.benchmark;

/** What is timed. */
enum Task {
  /** A layer's output. */
  FORWARD("forward"),
  /** A layer's output, then the gradients of its input and of its weights, left in memory. */
  FORWARD_BACKWARD("forward + backward"),
  /** Forward, backward and Adam of a language model. */
  STEP("training step");

  private final String words;

  Task(String words) {
    this.words = words;
  }

  @Override
  public String toString() {
    return words;
  }
}
