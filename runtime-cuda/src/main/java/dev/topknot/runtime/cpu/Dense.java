package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;

/** A fully connected layer: y = f(x · Wᵀ + bias), or without a bias. */
public final class Dense {
  /** Floats that make a task worth its while. */
  private static final int CHUNK = 1 << 14;

  private final Cpu cpu;
  private final int inputs;
  private final int units;
  private final ActivationFunction function;

  /** Rows of one task. */
  private final int chunk;

  private final float[] biases;
  private final float[][] lines;
  private final float[][] others;
  private final ColumnSums biasSums;

  private final Workers.Task activate = this::activate;
  private final Workers.Task differentiate = this::differentiate;

  // Operands of the running call.
  private Run run;
  private Matrix z;
  private Matrix y;

  /**
   * A fully connected layer.
   *
   * @param tokens most tokens of a call
   * @param inputs width of x
   * @param units width of y
   * @param function applied to every output
   */
  public Dense(
      CpuContext context,
      String layer,
      int tokens,
      int inputs,
      int units,
      ActivationFunction function) {
    cpu = context.cpu();
    this.inputs = inputs;
    this.units = units;
    this.function = function;
    chunk = Math.max(1, CHUNK / units);
    biases = new float[units];
    lines = cpu.workers().arrays(units);
    others = cpu.workers().arrays(units);
    biasSums = new ColumnSums(cpu, units);
  }

  /**
   * Multiplies, adds the bias and applies the function.
   *
   * @param x [tokens, inputs]
   * @param weight [units, inputs]
   * @param bias [1, units]
   * @param z [tokens, units], kept for backward: x · Wᵀ + bias for GELU, otherwise the output, and
   *     then {@code y} may be the same matrix
   * @param y [tokens, units]
   */
  public void forward(Run run, Matrix x, Matrix weight, Matrix bias, Matrix z, Matrix y) {
    bias.read(0, biases, 0, units);
    forward(run, x, weight, z, y);
  }

  /** Likewise, without a bias; a layer has one in all calls or in none. */
  public void forward(Run run, Matrix x, Matrix weight, Matrix z, Matrix y) {
    this.run = run;
    this.z = z;
    this.y = y;
    cpu.multiplyParallel(
        false,
        true,
        run.valid(),
        units,
        inputs,
        1,
        x,
        0,
        inputs,
        weight,
        0,
        inputs,
        0,
        z,
        0,
        units);
    cpu.workers().parallel((run.valid() + chunk - 1) / chunk, activate);
  }

  /**
   * The gradients, from dL/dy.
   *
   * @param z as forward left it
   * @param dy [tokens, units]; becomes the gradient with respect to x · Wᵀ + bias
   * @param dx [tokens, inputs], overwritten
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix weight,
      Matrix z,
      Matrix dy,
      Matrix dx,
      Matrix dWeight,
      Matrix dBias) {
    backward(run, x, weight, z, dy, dx, dWeight);
    biasSums.add(dy, run.valid(), run.beta(), dBias);
  }

  /** Likewise, without a bias. */
  public void backward(
      Run run, Matrix x, Matrix weight, Matrix z, Matrix dy, Matrix dx, Matrix dWeight) {
    this.run = run;
    this.z = z;
    this.y = dy;
    int valid = run.valid();
    float beta = run.beta();
    if (function != ActivationFunction.IDENTITY) {
      cpu.workers().parallel((valid + chunk - 1) / chunk, differentiate);
    }
    cpu.multiplyParallel(
        false, false, valid, inputs, units, 1, dy, 0, units, weight, 0, inputs, 0, dx, 0, inputs);
    cpu.multiplyParallel(
        true, false, units, inputs, valid, 1, dy, 0, units, x, 0, inputs, beta, dWeight, 0, inputs);
  }

  private void activate(int task, int worker) {
    float[] line = lines[worker];
    for (int row = task * chunk; row < Math.min(run.valid(), (task + 1) * chunk); row++) {
      long at = (long) row * units;
      z.read(at, line, 0, units);
      for (int j = 0; j < units; j++) {
        line[j] += biases[j];
      }
      if (Activations.keepsInput(function)) {
        z.write(at, line, 0, units);
      }
      Activations.apply(function, line, 0, units);
      if (!Activations.keepsInput(function) && z != y) {
        z.write(at, line, 0, units);
      }
      y.write(at, line, 0, units);
    }
  }

  private void differentiate(int task, int worker) {
    float[] kept = lines[worker];
    float[] gradient = others[worker];
    for (int row = task * chunk; row < Math.min(run.valid(), (task + 1) * chunk); row++) {
      long at = (long) row * units;
      z.read(at, kept, 0, units);
      y.read(at, gradient, 0, units);
      Activations.slope(function, kept, 0, gradient, 0, units);
      y.write(at, gradient, 0, units);
    }
  }
}
