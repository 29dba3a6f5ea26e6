package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Executor;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Moment;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/** Memory, optimizer and diagnosis of an instance on the CPU. */
abstract class CpuExecutor implements Executor {
  /** Floats that one task scales. */
  private static final int TILE = 1 << 16;

  final CpuDevice device;
  final Options options;
  final Layout layout;
  final BitSet frozen;
  final CpuMemory memory;
  final CpuContext context;
  private final List<Moment> moments;

  /** What trains, set by the subclass; null in an instance for inference. */
  CpuProgram training;

  /** The run of {@link #training}. */
  Run run;

  CpuExecutor(CpuDevice device, Options options, Layout layout, BitSet frozen, CpuMemory memory) {
    this.device = device;
    this.options = options;
    this.layout = layout;
    this.frozen = frozen;
    this.memory = memory;
    this.context = memory.context(device.hardware(), options, layout);
    this.moments = context.moments();
  }

  @Override
  public final boolean hasGradients() {
    return context.hasGradients();
  }

  @Override
  public final List<Moment> moments() {
    return moments;
  }

  @Override
  public final Tensor parameter(Layout.Slice slice) {
    return view(context.parameters(), slice.offset(), slice.shape());
  }

  @Override
  public final Tensor gradient(Layout.Slice slice) {
    return view(context.gradients(), slice.offset(), slice.shape());
  }

  @Override
  public final Tensor moment(Moment moment, Layout.Slice slice) {
    return view(context.moment(moment), moment.offset(layout, slice), moment.shape(slice));
  }

  @Override
  public final void initialise(long seed) {
    Matrix parameters = all(context.parameters());
    parameters.fill(0);
    Initializer.fill(device, layout, seed, parameters::write);
  }

  @Override
  public final void scaleGradients(float factor) {
    Matrix gradients = all(context.gradients());
    int tasks = Math.toIntExact((gradients.size() + TILE - 1) / TILE);
    device
        .hardware()
        .workers()
        .parallel(
            tasks,
            (task, worker) -> {
              long from = (long) task * TILE;
              float[] tile = new float[(int) Math.min(TILE, gradients.size() - from)];
              gradients.read(from, tile, 0, tile.length);
              for (int i = 0; i < tile.length; i++) {
                tile[i] *= factor;
              }
              gradients.write(from, tile, 0, tile.length);
            });
  }

  @Override
  public final void zeroGradients() {
    all(context.gradients()).fill(0);
  }

  @Override
  public final double norm() {
    training.norm(run);
    run.end();
    return run.gradientNorm();
  }

  @Override
  public final void update(Update update, long step) {
    run.update(update, step);
    training.update(run);
    run.end();
  }

  @Override
  public final List<Balance> balances() {
    return training.balances(run);
  }

  @Override
  public final String nonFiniteParameter() {
    return nonFinite(context.parameters(), "");
  }

  @Override
  public final String firstNonFinite(boolean inGradients) {
    String name = nonFiniteParameter();
    if (name == null) {
      name = nonFiniteInForward(inGradients);
    }
    if (name == null && inGradients) {
      name = nonFinite(context.gradients(), "the gradient of ");
    }
    return name == null ? (inGradients ? "the gradient norm" : "the loss") : name;
  }

  /** Looks at inputs and state, then at what the latest training forward computes; or null. */
  abstract String nonFiniteInForward(boolean inGradients);

  @Override
  public final void close() {
    memory.close();
  }

  /** All of an arena as one row. */
  static Matrix all(Arena arena) {
    return arena.matrix(0, 1, arena.size());
  }

  /** The first parameter that is not finite in some arena, or null; gradients from the last. */
  final String nonFinite(Arena arena, String prefix) {
    List<Layout.Slice> slices = new ArrayList<>(layout.slices());
    if (!prefix.isEmpty()) {
      java.util.Collections.reverse(slices);
    }
    for (Layout.Slice slice : slices) {
      if (!arena.matrix(slice.offset(), 1, slice.size()).isFinite(0, slice.size())) {
        return prefix + slice.name();
      }
    }
    return null;
  }

  private Tensor view(Arena arena, long offset, long[] shape) {
    Matrix matrix = arena.matrix(offset, CpuTensor.rows(shape), CpuTensor.columns(shape));
    return new CpuTensor(device, matrix, null, shape);
  }
}
