package dev.topknot.runtime.cpu;

/**
 * A long short-term memory layer whose output is projected, h_t = (o · tanh(c_t)) · Wrᵀ; else as
 * {@link Lstm}. With h narrower than c, a unit costs less to keep recurrent ([S17] app. C,
 * LSTM-2048-512).
 *
 * <p>Every h of a step needs all its cells, so that a time step is two parallel calls: panels of
 * units, then panels of outputs; backward the other way round.
 */
public final class ProjectedLstm extends LstmCells {
  /** Outputs of one task, and the number of tasks. */
  private final int panel;

  private final int outputPanels;

  /** Of Wr [projection, units]. */
  private final Transposed wrTransposed;

  /** Gradient of o · tanh(c) in the running step, [batch, units]. */
  private final Matrix dCellOutputs;

  private final Workers.Task cellsForward = this::cellsForward;
  private final Workers.Task outputsForward = this::outputsForward;
  private final Workers.Task outputsBackward = this::outputsBackward;
  private final Workers.Task cellsBackward = this::cellsBackward;

  // Operands of the running call.
  private Matrix wr;
  private Matrix cellOutputs;

  /**
   * An LSTM layer with a projection.
   *
   * @param batch sequences
   * @param timesteps most time steps of a call
   * @param inputs width of x
   * @param units width of c
   * @param projection width of h
   */
  public ProjectedLstm(
      CpuContext context,
      String layer,
      int batch,
      int timesteps,
      int inputs,
      int units,
      int projection) {
    super(context.cpu(), batch, timesteps, inputs, units, projection);
    panel = panel(projection);
    outputPanels = (projection + panel - 1) / panel;
    wrTransposed = transposed(projection, units, timesteps);
    dCellOutputs = Scratch.matrix(batch, units);
  }

  /**
   * All time steps.
   *
   * @param x [tokens, inputs]
   * @param wx [4 · units, inputs]
   * @param wh [4 · units, projection]
   * @param wr [projection, units]
   * @param bias [1, 4 · units]
   * @param h0 [batch, projection], the state before the first step
   * @param c0 [batch, units]
   * @param gates [tokens, 4 · units], i, f, g, o after their functions, which backward needs
   * @param cells [tokens, units], c
   * @param cellOutputs [tokens, units], o · tanh(c), which backward needs
   * @param h [tokens, projection], the output
   */
  public void forward(
      Run run,
      Matrix x,
      Matrix wx,
      Matrix wh,
      Matrix wr,
      Matrix bias,
      Matrix h0,
      Matrix c0,
      Matrix gates,
      Matrix cells,
      Matrix cellOutputs,
      Matrix h) {
    this.wr = wr;
    this.cellOutputs = cellOutputs;
    beginForward(run, x, wx, wh, bias, h0, c0, gates, cells, h);
    copy(wr, wrTransposed);
    for (step = 0; step < steps(); step++) {
      cpu.workers().parallel(panels, cellsForward);
      cpu.workers().parallel(outputPanels, outputsForward);
    }
  }

  /**
   * The gradients of everything, from dL/dh. The state before the first step is a constant:
   * back-propagation is truncated there.
   *
   * @param gates as forward left them; become dL/dz
   * @param dh [tokens, projection], gradient of the output; becomes that of h with what the later
   *     steps made of it
   * @param dx [tokens, inputs], overwritten
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix wx,
      Matrix wh,
      Matrix wr,
      Matrix h0,
      Matrix c0,
      Matrix gates,
      Matrix cells,
      Matrix cellOutputs,
      Matrix h,
      Matrix dh,
      Matrix dx,
      Matrix dWx,
      Matrix dWh,
      Matrix dWr,
      Matrix dBias) {
    this.wr = wr;
    beginBackward(run, wh, c0, gates, cells, dh);
    for (step = steps() - 1; step >= 0; step--) {
      cpu.workers().parallel(outputPanels, outputsBackward);
      cpu.workers().parallel(panels, cellsBackward);
    }
    cpu.multiplyParallel(
        true,
        false,
        outputs,
        units,
        valid,
        1,
        dh,
        0,
        outputs,
        cellOutputs,
        0,
        units,
        run.beta(),
        dWr,
        0,
        units);
    endBackward(run, x, wx, h0, h, dx, dWx, dWh, dBias);
  }

  private void cellsForward(int task, int worker) {
    forwardPanel(task, worker, cellOutputs);
  }

  private void outputsForward(int task, int worker) {
    int from = task * panel;
    int count = Math.min(panel, outputs - from);
    long first = (long) step * batch;
    multiplyRows(
        cellOutputs, first * units, units, wr, wrTransposed, from, count, 0, h, first, outputs);
  }

  private void outputsBackward(int task, int worker) {
    int from = task * panel;
    addFromStepAfter(from, Math.min(panel, outputs - from));
  }

  private void cellsBackward(int task, int worker) {
    int from = from(task);
    cpu.gemm()
        .multiply(
            false,
            false,
            rows(step),
            count(task),
            outputs,
            1,
            dh,
            (long) step * batch * outputs,
            outputs,
            wr,
            from,
            units,
            0,
            dCellOutputs,
            from,
            units);
    backwardPanel(task, worker, dCellOutputs, 0);
  }
}
