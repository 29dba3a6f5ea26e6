package dev.topknot.runtime.cpu;

/**
 * Runs a {@link Perceptron} over rows sorted by expert: gathers the rows of a panel, computes them
 * while they are in cache, and spreads panels over the workers, largest first. Work is proportional
 * to the slots in use: an expert without rows costs nothing but the zeroes of its gradient. Experts
 * may be one kind of a layer's: then it reads and writes the rows of their slots alone.
 */
final class Routed {
  private final Workers workers;
  private final Perceptron perceptron;
  private final int first;
  private final int experts;
  private final int places;
  private final int width;
  private final Panels panels;
  private final int[] offsets;
  private final int[] tokenOf;
  private final int[] slotOf;
  private final float[] gates;
  private final float[] gateOf;
  private final float[] dGateOf;
  private final float[][] tiles;
  private final int[] idle;

  /**
   * Experts whose gradient this op left at zero, so that it need not be zeroed again. Whoever else
   * writes there is noticed by a few probes of each matrix: enough for a fill, a copy or a load,
   * not for a single element set by hand.
   */
  private final boolean[] zero;

  private final Workers.Task forwardTask = this::forwardPanel;
  private final Workers.Task recomputeTask = this::recomputePanel;
  private final Workers.Task backwardTask = this::backwardPanel;
  private final Workers.Task gradientTask = this::gradientPanel;
  private final Workers.Task zeroTask = this::zeroExpert;

  // Of the running call.
  private Matrix x;
  private Matrix dy;
  private int pass;
  private float beta;

  /**
   * Room for any routing.
   *
   * @param first number of the first of the experts in the layer
   */
  Routed(Cpu cpu, int tokens, int first, int experts, int k, int places, Perceptron perceptron) {
    this.workers = cpu.workers();
    this.perceptron = perceptron;
    this.first = first;
    this.experts = experts;
    this.places = places;
    this.width = perceptron.width;
    int slots = Math.multiplyExact(tokens, k);
    panels = new Panels(experts, slots, Panels.HEIGHT);
    offsets = new int[experts + 1];
    tokenOf = new int[slots];
    slotOf = new int[Math.multiplyExact(tokens, places)];
    gates = new float[slotOf.length];
    gateOf = new float[slots];
    dGateOf = new float[slots];
    tiles = perceptron.newTiles(cpu);
    idle = new int[experts];
    zero = new boolean[experts];
  }

  /** Every slot's output, from its token's row of x; the perceptron knows the other operands. */
  void forward(Matrix x, Ints offsets, Ints rows) {
    this.x = x;
    route(offsets, rows);
    workers.parallel(panels.count(), forwardTask);
    this.x = null;
  }

  /** Every slot's output from its own row of the perceptron's input, which is there already. */
  void forward(Ints offsets) {
    cut(offsets);
    workers.parallel(panels.count(), forwardTask);
  }

  /** What forward keeps. */
  void recompute(Matrix x, Ints offsets, Ints rows) {
    this.x = x;
    route(offsets, rows);
    workers.parallel(panels.count(), recomputeTask);
    this.x = null;
  }

  /** Gradients of every slot's input and of the weights, from those of its output. */
  void backward(Run run, Ints offsets) {
    cut(offsets);
    backwardPanels(run);
  }

  /** Likewise, with the input from the token's row of x. */
  void backward(Run run, Matrix x, Ints offsets, Ints rows) {
    this.x = x;
    route(offsets, rows);
    backwardPanels(run);
    this.x = null;
  }

  /**
   * Gradients of every slot's input, of every gate value and of the weights; without x, the input
   * is there already.
   */
  void backward(
      Run run,
      Matrix x,
      Matrix dy,
      Ints offsets,
      Ints rows,
      Ints slots,
      Matrix gates,
      Matrix dGates) {
    this.x = x;
    this.dy = dy;
    route(offsets, rows);
    int all = run.valid() * places;
    slots.read(0, slotOf, 0, all);
    gates.read(0, this.gates, 0, all);
    int pairs = 0;
    for (int p = 0; p < all; p++) {
      if (slotOf[p] >= 0) {
        gateOf[slotOf[p]] = this.gates[p];
        pairs++;
      }
    }
    perceptron.gates = gateOf;
    perceptron.dGates = dGateOf;
    backwardPanels(run);
    writeGateGradients(all, pairs, dGates);
    this.x = null;
    this.dy = null;
  }

  /** Those of these experts' slots, 0 where there is none; the others are other kinds' to write. */
  private void writeGateGradients(int all, int pairs, Matrix dGates) {
    int from = this.offsets[0];
    int to = this.offsets[experts];
    if (to - from < pairs) {
      dGates.read(0, this.gates, 0, all);
    }
    for (int p = 0; p < all; p++) {
      if (slotOf[p] < 0) {
        this.gates[p] = 0;
      } else if (slotOf[p] >= from && slotOf[p] < to) {
        this.gates[p] = dGateOf[slotOf[p]];
      }
    }
    dGates.write(0, this.gates, 0, all);
  }

  private void backwardPanels(Run run) {
    beta = run.beta();
    for (int e = 0; e < experts; e++) {
      zero[e] &= offsets[e + 1] == offsets[e]; // before any is written, should a task fail
    }
    workers.parallel(panels.count(), backwardTask);
    if (panels.split()) {
      for (pass = 0; pass < perceptron.gradientPasses(); pass++) {
        workers.parallel(panels.count(), gradientTask);
      }
    }
    zeroIdle();
  }

  private void route(Ints offsets, Ints rows) {
    cut(offsets);
    rows.read(0, tokenOf, 0, this.offsets[experts]);
  }

  private void cut(Ints offsets) {
    offsets.read(first, this.offsets, 0, experts + 1);
    panels.cut(this.offsets, experts);
  }

  private void forwardPanel(int panel, int worker) {
    int slot = panels.first(panel);
    int rows = panels.rows(panel);
    gather(x, perceptron.in, slot, rows, tiles[worker]);
    perceptron.forward(panels.expert(panel), slot, rows, worker);
  }

  private void recomputePanel(int panel, int worker) {
    int slot = panels.first(panel);
    int rows = panels.rows(panel);
    gather(x, perceptron.in, slot, rows, tiles[worker]);
    perceptron.recompute(panels.expert(panel), slot, rows, worker);
  }

  private void backwardPanel(int panel, int worker) {
    int slot = panels.first(panel);
    int rows = panels.rows(panel);
    gather(x, perceptron.in, slot, rows, tiles[worker]);
    gather(dy, perceptron.dy, slot, rows, tiles[worker]);
    perceptron.backward(panels.expert(panel), slot, rows, worker);
    if (panels.parts(panel) == 1) { // all rows of its expert, which are in cache now
      for (int p = 0; p < perceptron.gradientPasses(); p++) {
        perceptron.gradient(p, panels, panel, beta, worker);
      }
    }
  }

  private void gradientPanel(int panel, int worker) {
    if (panels.parts(panel) > 1) {
      perceptron.gradient(pass, panels, panel, beta, worker);
    }
  }

  /**
   * Copies the rows of the tokens of slots {@code first} to {@code first + rows} together; nothing
   * from null.
   */
  private void gather(Matrix from, Matrix to, int first, int rows, float[] tile) {
    if (from == null) {
      return;
    }
    int step = Perceptron.tileRows(width);
    for (int done = 0; done < rows; done += step) {
      int count = Math.min(step, rows - done);
      int slot = first + done;
      for (int i = 0; i < count; i++) {
        from.read((long) tokenOf[slot + i] * width, tile, i * width, width);
      }
      to.write((long) slot * width, tile, 0, count * width);
    }
  }

  /** Lets the gradients of experts nobody chose read zero, unless they are added to. */
  private void zeroIdle() {
    int count = 0;
    for (int e = 0; e < experts; e++) {
      boolean none = offsets[e + 1] == offsets[e];
      if (none && beta == 0 && !(zero[e] && probesZero(e))) {
        idle[count++] = e;
        zero[e] = true;
      }
    }
    workers.parallel(count, zeroTask);
  }

  private void zeroExpert(int task, int worker) {
    for (Matrix gradient : perceptron.weightGradients()) {
      long size = gradient.size() / experts;
      gradient.zero(idle[task] * size, size);
    }
  }

  private boolean probesZero(int expert) {
    for (Matrix gradient : perceptron.weightGradients()) {
      long rows = gradient.rows() / experts;
      long columns = gradient.columns();
      long from = expert * rows;
      if (gradient.get(from, 0) != 0
          || gradient.get(from + rows / 3, columns / 3) != 0
          || gradient.get(from + rows * 2 / 3, columns * 2 / 3) != 0
          || gradient.get(from + rows - 1, columns - 1) != 0) {
        return false;
      }
    }
    return true;
  }
}
