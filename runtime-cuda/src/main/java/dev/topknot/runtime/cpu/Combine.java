package dev.topknot.runtime.cpu;

/**
 * y = Σ gate · expert output over a token's slots, in ascending slots, which is ascending experts
 * ([S17] eq. 1); backward, the gradient of a token as the sum of its slots' gradients.
 */
public final class Combine {
  /** Tokens of a task. */
  private static final int BLOCK = 16;

  private final Workers workers;
  private final int width;
  private final int k;
  private final int[] slots;
  private final float[] gates;
  private final float[][] sums;
  private final float[][] rows;

  private final Workers.Task forwardTask = this::forwardBlock;
  private final Workers.Task backwardTask = this::backwardBlock;

  // Of the running call.
  private int valid;
  private Matrix from;
  private Matrix to;
  private boolean add;

  /**
   * An op of fixed shapes.
   *
   * @param context threads
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param k experts a token, so that there are P = T·k slots
   */
  public Combine(CpuContext context, String layer, int tokens, int width, int k) {
    workers = context.cpu().workers();
    this.width = width;
    this.k = k;
    slots = new int[Math.multiplyExact(tokens, k)];
    gates = new float[slots.length];
    sums = workers.arrays(width);
    rows = workers.arrays(width);
  }

  /**
   * Every valid token's output.
   *
   * @param out each slot's output, [P, d]
   * @param gates the gate value of each pair {@code token · k + choice}, [T, k]
   * @param slots the slot of each pair, [P]
   * @param y written, [T, d]
   */
  public void forward(Run run, Matrix out, Matrix gates, Ints slots, Matrix y) {
    int pairs = run.valid() * k;
    gates.read(0, this.gates, 0, pairs);
    start(run, out, slots, y);
    workers.parallel((valid + BLOCK - 1) / BLOCK, forwardTask);
  }

  /**
   * Every valid token's gradient.
   *
   * @param dOut the gradient of each slot's input, gate included, [P, d]
   * @param slots the slot of each pair, [P]
   * @param dx written, [T, d]
   */
  public void backward(Run run, Matrix dOut, Ints slots, Matrix dx) {
    backward(run, dOut, slots, dx, false);
  }

  /** Likewise, added to dx where {@code add}. */
  void backward(Run run, Matrix dOut, Ints slots, Matrix dx, boolean add) {
    this.add = add;
    start(run, dOut, slots, dx);
    workers.parallel((valid + BLOCK - 1) / BLOCK, backwardTask);
  }

  /** Reads the slots and puts each token's in ascending order, its gates with them. */
  private void start(Run run, Matrix from, Ints slots, Matrix to) {
    valid = run.valid();
    this.from = from;
    this.to = to;
    slots.read(0, this.slots, 0, valid * k);
    for (int t = 0; t < valid; t++) {
      for (int i = t * k + 1; i < (t + 1) * k; i++) {
        int slot = this.slots[i];
        float gate = gates[i];
        int at = i;
        for (; at > t * k && this.slots[at - 1] > slot; at--) {
          this.slots[at] = this.slots[at - 1];
          gates[at] = gates[at - 1];
        }
        this.slots[at] = slot;
        gates[at] = gate;
      }
    }
  }

  private void forwardBlock(int block, int worker) {
    float[] sum = sums[worker];
    float[] row = rows[worker];
    for (int t = block * BLOCK; t < Math.min(valid, (block + 1) * BLOCK); t++) {
      from.read((long) slots[t * k] * width, sum, 0, width);
      Perceptron.scale(sum, 0, width, gates[t * k]);
      for (int j = 1; j < k; j++) {
        from.read((long) slots[t * k + j] * width, row, 0, width);
        RowSums.addScaled(row, gates[t * k + j], width, sum);
      }
      to.write((long) t * width, sum, 0, width);
    }
  }

  private void backwardBlock(int block, int worker) {
    float[] sum = sums[worker];
    float[] row = rows[worker];
    for (int t = block * BLOCK; t < Math.min(valid, (block + 1) * BLOCK); t++) {
      int first = add ? 0 : 1;
      if (add) {
        to.read((long) t * width, sum, 0, width);
      } else {
        from.read((long) slots[t * k] * width, sum, 0, width);
      }
      for (int j = first; j < k; j++) {
        from.read((long) slots[t * k + j] * width, row, 0, width);
        RowSums.add(row, width, sum);
      }
      to.write((long) t * width, sum, 0, width);
    }
  }
}
