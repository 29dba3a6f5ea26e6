package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * y = Σ gate · expert output over those places of a token, one an expert, that have a slot, in
 * ascending experts ([S17] eq. 1); 0 where none has. Backward, the gradient of a token as the sum
 * of its slots' gradients. What {@link Combine} is where every token has k experts.
 */
public final class BalancedCombine {
  /** Tokens of a task. */
  private static final int BLOCK = 16;

  private final Workers workers;
  private final int width;
  private final int experts;
  private final int[][] slots;
  private final float[][] gates;
  private final float[][] sums;
  private final float[][] rows;

  private final Workers.Task task = this::block;

  // Of the running call.
  private int valid;
  private Matrix from;
  private Matrix to;
  private Matrix gatesOf;
  private Ints slotsOf;

  /**
   * An op of fixed shapes.
   *
   * @param context threads
   * @param layer name of the layer
   * @param tokens most tokens of a call, T
   * @param width length of a token's vector, d
   * @param experts number of experts, n
   */
  public BalancedCombine(CpuContext context, String layer, int tokens, int width, int experts) {
    workers = context.cpu().workers();
    this.width = width;
    this.experts = experts;
    slots = new int[workers.threads()][experts];
    gates = workers.arrays(experts);
    sums = workers.arrays(width);
    rows = workers.arrays(width);
  }

  /**
   * Every valid token's output.
   *
   * @param out each slot's output, [P, d]
   * @param gates the gate value of each place, [T, n]
   * @param slots the slot of each place or −1, [T·n]
   * @param y written, [T, d]
   */
  public void forward(Run run, Matrix out, Matrix gates, Ints slots, Matrix y) {
    start(run, out, gates, slots, y);
  }

  /**
   * Every valid token's gradient.
   *
   * @param dOut the gradient of each slot's input, gate included, [P, d]
   * @param slots the slot of each place or −1, [T·n]
   * @param dx written, [T, d]
   */
  public void backward(Run run, Matrix dOut, Ints slots, Matrix dx) {
    start(run, dOut, null, slots, dx);
  }

  private void start(Run run, Matrix from, Matrix gates, Ints slots, Matrix to) {
    valid = run.valid();
    this.from = from;
    this.to = to;
    gatesOf = gates;
    slotsOf = slots;
    workers.parallel((valid + BLOCK - 1) / BLOCK, task);
  }

  private void block(int block, int worker) {
    int[] slot = slots[worker];
    float[] gate = gates[worker];
    float[] sum = sums[worker];
    float[] row = rows[worker];
    Arrays.fill(gate, 1);
    for (int t = block * BLOCK; t < Math.min(valid, (block + 1) * BLOCK); t++) {
      slotsOf.read((long) t * experts, slot, 0, experts);
      if (gatesOf != null) {
        gatesOf.read((long) t * experts, gate, 0, experts);
      }
      Arrays.fill(sum, 0);
      for (int e = 0; e < experts; e++) {
        if (slot[e] >= 0) {
          from.read((long) slot[e] * width, row, 0, width);
          RowSums.addScaled(row, gate[e], width, sum);
        }
      }
      to.write((long) t * width, sum, 0, width);
    }
  }
}
