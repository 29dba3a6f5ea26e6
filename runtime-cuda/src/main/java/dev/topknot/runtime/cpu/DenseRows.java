package dev.topknot.runtime.cpu;

/** Runs a {@link Perceptron} of one expert over all tokens, in panels spread over the workers. */
final class DenseRows {
  /** Rows of a panel at which the matrix product is near its speed. */
  private static final int FULL = 128;

  /** Rows below which more panels cost more than they spread. */
  private static final int LEAST = 32;

  private final Workers workers;
  private final Perceptron perceptron;
  private final Panels panels;
  private final int[] offsets = new int[2];

  private final Workers.Task forwardTask = this::forwardPanel;
  private final Workers.Task recomputeTask = this::recomputePanel;
  private final Workers.Task backwardTask = this::backwardPanel;
  private final Workers.Task gradientTask = this::gradientPanel;

  // Of the running call.
  private int pass;
  private float beta;

  DenseRows(Cpu cpu, int tokens, Perceptron perceptron) {
    this.workers = cpu.workers();
    this.perceptron = perceptron;
    panels = new Panels(1, tokens, panelHeight(tokens));
  }

  /** The height that gives a multiple of four panels, where there are rows enough. */
  static int panelHeight(int tokens) {
    int full = (tokens + FULL - 1) / FULL;
    int pieces = Math.min((full + 3) / 4 * 4, (tokens + LEAST - 1) / LEAST);
    return (tokens + pieces - 1) / pieces;
  }

  void forward(Run run) {
    cut(run);
    workers.parallel(panels.count(), forwardTask);
  }

  void recompute(Run run) {
    cut(run);
    workers.parallel(panels.count(), recomputeTask);
  }

  void backward(Run run) {
    cut(run);
    beta = run.beta();
    workers.parallel(panels.count(), backwardTask);
    for (pass = 0; pass < perceptron.gradientPasses(); pass++) {
      workers.parallel(panels.count(), gradientTask);
    }
    if (run.valid() == 0 && beta == 0) {
      for (Matrix gradient : perceptron.weightGradients()) {
        gradient.zero(0, gradient.size());
      }
    }
  }

  private void cut(Run run) {
    offsets[1] = run.valid();
    panels.cut(offsets, 1);
  }

  private void forwardPanel(int panel, int worker) {
    perceptron.forward(0, panels.first(panel), panels.rows(panel), worker);
  }

  private void recomputePanel(int panel, int worker) {
    perceptron.recompute(0, panels.first(panel), panels.rows(panel), worker);
  }

  private void backwardPanel(int panel, int worker) {
    perceptron.backward(0, panels.first(panel), panels.rows(panel), worker);
  }

  private void gradientPanel(int panel, int worker) {
    perceptron.gradient(pass, panels, panel, beta, worker);
  }
}
