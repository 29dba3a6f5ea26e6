package dev.topknot.runtime.cpu;

/**
 * A long short-term memory layer over the time steps of a batch, gates in the order i, f, g, o:
 *
 * <pre>
 * z = x_t · Wxᵀ + h_(t−1) · Whᵀ + bias
 * i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
 * c_t = f · c_(t−1) + i · g;  h_t = o · tanh(c_t)
 * </pre>
 *
 * The products with x are one large product over all time steps, as are the gradients of the
 * weights. What is sequential, the recurrent product and the element-wise part of a step, is
 * divided into panels of units, one task each, so that a time step is one parallel call.
 *
 * <p>Token t · batch + b is time step t of sequence b. Of the last step only the valid sequences
 * are computed; for the others everything stays as it is, their carried state too.
 */
public final class Lstm extends LstmCells {
  private final Workers.Task forwardPanel = this::forwardPanel;
  private final Workers.Task backwardPanel = this::backwardPanel;

  /**
   * An LSTM layer.
   *
   * @param batch sequences
   * @param timesteps most time steps of a call
   * @param inputs width of x
   * @param units width of h and c
   */
  public Lstm(CpuContext context, String layer, int batch, int timesteps, int inputs, int units) {
    super(context.cpu(), batch, timesteps, inputs, units, units);
  }

  /**
   * All time steps.
   *
   * @param x [tokens, inputs]
   * @param wx [4 · units, inputs]
   * @param wh [4 · units, units]
   * @param bias [1, 4 · units]
   * @param h0 [batch, units], the state before the first step
   * @param c0 [batch, units]
   * @param gates [tokens, 4 · units], i, f, g, o after their functions, which backward needs
   * @param cells [tokens, units], c
   * @param h [tokens, units], the output
   */
  public void forward(
      Run run,
      Matrix x,
      Matrix wx,
      Matrix wh,
      Matrix bias,
      Matrix h0,
      Matrix c0,
      Matrix gates,
      Matrix cells,
      Matrix h) {
    beginForward(run, x, wx, wh, bias, h0, c0, gates, cells, h);
    for (step = 0; step < steps(); step++) {
      cpu.workers().parallel(panels, forwardPanel);
    }
  }

  /**
   * The gradients of everything, from dL/dh. The state before the first step is a constant:
   * back-propagation is truncated there.
   *
   * @param gates as forward left them; become dL/dz
   * @param dh [tokens, units], gradient of the output; scratch afterwards
   * @param dx [tokens, inputs], overwritten
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix wx,
      Matrix wh,
      Matrix h0,
      Matrix c0,
      Matrix gates,
      Matrix cells,
      Matrix h,
      Matrix dh,
      Matrix dx,
      Matrix dWx,
      Matrix dWh,
      Matrix dBias) {
    beginBackward(run, wh, c0, gates, cells, dh);
    for (step = steps() - 1; step >= 0; step--) {
      cpu.workers().parallel(panels, backwardPanel);
    }
    endBackward(run, x, wx, h0, h, dx, dWx, dWh, dBias);
  }

  private void forwardPanel(int task, int worker) {
    forwardPanel(task, worker, h);
  }

  private void backwardPanel(int task, int worker) {
    addFromStepAfter(from(task), count(task));
    backwardPanel(task, worker, dh, (long) step * batch * units);
  }
}
