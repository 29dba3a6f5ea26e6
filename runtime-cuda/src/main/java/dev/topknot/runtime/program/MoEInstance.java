package dev.topknot.runtime.program;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.EvaluationOverflowException;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.CpuMoE;
import dev.topknot.runtime.cpu.CpuMoEExecutor;
import dev.topknot.runtime.cuda.CudaContext;
import dev.topknot.runtime.cuda.CudaDevice;
import dev.topknot.runtime.cuda.CudaMoE;
import dev.topknot.runtime.cuda.CudaMoEExecutor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;

/**
 * A layer that stands alone on some device: checks arguments, threads and the order of calls,
 * counts steps and micro-batches, and leaves the computing to a {@link LayerExecutor}.
 */
public final class MoEInstance implements MoE {
  /** No forward that still waits for its backward. */
  private static final long NONE = -1;

  private final MoEShape shape;
  private final Layout layout;
  private final long seed;
  private final LayerExecutor executor;
  private final Instance instance;

  private long step;

  /** Backwards since the latest update: micro-batches. */
  private int backwards;

  /** Rows of the forward that waits for its backward. */
  private long pendingRows = NONE;

  /** Rows of the latest forward. */
  private long latestRows = NONE;

  private MoEInstance(
      MoEShape shape, Layout layout, long seed, long step, LayerExecutor executor, BitSet frozen) {
    this.shape = shape;
    this.layout = layout;
    this.seed = seed;
    this.step = step;
    this.executor = executor;
    this.instance = new Instance(layout, executor, frozen);
  }

  /**
   * Makes a layer: takes its memory and gives the parameters their first values.
   *
   * @param device where
   * @param shape its sizes
   * @param layout its parameters
   * @param options that override annotated values
   * @param seed of parameters and noise
   * @param cpu makes its programs for the CPU
   * @param cuda makes its programs for CUDA devices
   */
  public static MoE open(
      Device device,
      MoEShape shape,
      Layout layout,
      Options options,
      long seed,
      Function<CpuContext, CpuMoE> cpu,
      Function<CudaContext, CudaMoE> cuda) {
    Objects.requireNonNull(device, "device");
    options.requireLayers(layout.layers());
    BitSet frozen = new BitSet();
    LayerExecutor executor =
        device instanceof CudaDevice gpu
            ? CudaMoEExecutor.open(gpu, shape, layout, options, frozen, cuda)
            : CpuMoEExecutor.open(
                Instance.cpu(device, layout, shape.precision()),
                shape,
                layout,
                options,
                frozen,
                cpu);
    Instance.initialised(executor, seed);
    return new MoEInstance(shape, layout, seed, 0, executor, frozen);
  }

  /** The same for what was compiled for the CPU alone. */
  public static MoE open(
      Device device,
      MoEShape shape,
      Layout layout,
      Options options,
      long seed,
      Function<CpuContext, CpuMoE> cpu) {
    return open(
        device,
        shape,
        layout,
        options,
        seed,
        cpu,
        context -> {
          throw new IllegalArgumentException(
              layout.spec() + " is compiled for the CPU, but the device is " + device);
        });
  }

  @Override
  public String name() {
    return layout.spec();
  }

  @Override
  public List<Parameter> parameters() {
    return instance.parameters;
  }

  @Override
  public void forward(Tensor x, Tensor y) {
    instance.guard.enter();
    try {
      instance.requireTraining("forward");
      long rows = requireOperands("x", x, "y", y);
      pendingRows = NONE;
      if (rows > 0) {
        int firstToken = Math.multiplyExact(backwards, shape.tokens());
        executor.forward(x, y, step, seed, firstToken);
      }
      pendingRows = rows;
      latestRows = rows;
    } finally {
      instance.guard.leave();
    }
  }

  @Override
  public void backward(Tensor dy, Tensor dx) {
    backward(dy, dx, false);
  }

  @Override
  public void accumulate(Tensor dy, Tensor dx) {
    backward(dy, dx, true);
  }

  private void backward(Tensor dy, Tensor dx, boolean add) {
    instance.guard.enter();
    try {
      backwardInside(dy, dx, add && backwards > 0);
    } finally {
      instance.guard.leave();
    }
  }

  private void backwardInside(Tensor dy, Tensor dx, boolean add) {
    instance.requireTraining("backward");
    if (pendingRows == NONE) {
      throw new IllegalStateException(
          "backward without a forward: each forward has one backward, which follows it");
    }
    long rows = requireOperands("dy", dy, "dx", dx);
    if (rows != pendingRows) {
      throw new IllegalArgumentException(
          String.format(
              "dy must have the %d rows of the latest forward, but has %d", pendingRows, rows));
    }
    if (rows > 0) {
      executor.requireUnchangedInput();
      if (executor.overlapsInput(dx)) {
        throw new IllegalArgumentException(
            "dx must not share memory with the x of the latest forward, which backward reads");
      }
      pendingRows = NONE;
      executor.backward(dy, dx, add);
    } else {
      pendingRows = NONE;
      if (!add) {
        executor.zeroGradients();
      }
    }
    if (!add && !executor.hasMoments()) { // nobody will say that the step before has ended
      step++;
      backwards = 0;
    }
    backwards++;
  }

  @Override
  public double update(Update update) {
    Objects.requireNonNull(update, "update");
    instance.guard.enter();
    try {
      instance.requireUpdates();
      if (backwards == 0) {
        throw new IllegalStateException("update without a backward since the last update");
      }
      double norm = executor.norm();
      if (!Double.isFinite(norm)) {
        String culprit = executor.firstNonFinite(true);
        backwards = 0;
        pendingRows = NONE;
        throw new NonFiniteException("the gradient norm", norm, step, culprit);
      }
      executor.update(update, step);
      step++;
      backwards = 0;
      pendingRows = NONE;
      return norm;
    } finally {
      instance.guard.leave();
    }
  }

  @Override
  public void infer(Tensor x, Tensor y) {
    instance.guard.enter();
    try {
      if (requireOperands("x", x, "y", y) > 0) {
        executor.infer(x, y);
      }
    } catch (EvaluationOverflowException e) {
      throw instance.reason(e, step);
    } finally {
      instance.guard.leave();
    }
  }

  @Override
  public Balance balance() {
    return instance.inside(
        () -> {
          instance.requireTraining("balance");
          if (latestRows == NONE) {
            throw new IllegalStateException("balance before the first forward");
          }
          List<Balance> balances = latestRows == 0 ? List.of() : executor.balances();
          return balances.isEmpty() ? ungated() : balances.get(0);
        });
  }

  /** A layer of one expert has no gate: the expert gets every token; without rows nobody any. */
  private Balance ungated() {
    double[] all = new double[shape.experts()];
    long[] tokens = new long[shape.experts()];
    if (shape.experts() == 1) {
      all[0] = latestRows;
      tokens[0] = latestRows;
    }
    return new Balance("", all, all, tokens, 0, 0);
  }

  @Override
  public long step() {
    return step;
  }

  @Override
  public void save(Path path) throws IOException {
    instance.guard.enter();
    try {
      instance.requireTraining("save");
      Checkpoints.save(path, layout, executor, null, 0, step, seed, Map.of());
    } finally {
      instance.guard.leave();
    }
  }

  @Override
  public void load(Path path) throws IOException {
    instance.guard.enter();
    try {
      instance.requireTraining("load");
      step = Checkpoints.load(path, layout, executor, null, 0);
      backwards = 0;
      pendingRows = NONE;
    } finally {
      instance.guard.leave();
    }
  }

  @Override
  public MoE inference() {
    return instance.inside(
        () -> new MoEInstance(shape, layout, seed, step, executor.inference(), instance.frozen));
  }

  @Override
  public void close() {
    instance.close();
  }

  @Override
  public String toString() {
    return layout.spec() + " after " + step + " updates";
  }

  /** Checks devices and shapes of an input and an output, and returns their rows. */
  private long requireOperands(String inName, Tensor in, String outName, Tensor out) {
    requireShape(inName, in);
    requireShape(outName, out);
    if (in == out || executor.overlap(in, out)) {
      throw new IllegalArgumentException(
          String.format(
              "%s and %s must be two tensors, but %s",
              inName, outName, in == out ? "are one" : "share memory"));
    }
    long rows = in.dimension(0);
    if (out.dimension(0) != rows) {
      throw new IllegalArgumentException(
          String.format(
              "%s must have the shape of %s, [%d, %d], but has %s",
              outName, inName, rows, shape.width(), Arrays.toString(out.shape())));
    }
    return rows;
  }

  private void requireShape(String name, Tensor tensor) {
    executor.requireUsable(name, Objects.requireNonNull(tensor, name));
    if (tensor.rank() != 2
        || tensor.dimension(1) != shape.width()
        || tensor.dimension(0) > shape.tokens()) {
      throw new IllegalArgumentException(
          String.format(
              "%s must be [0..%d, %d], but is %s",
              name, shape.tokens(), shape.width(), Arrays.toString(tensor.shape())));
    }
  }
}
