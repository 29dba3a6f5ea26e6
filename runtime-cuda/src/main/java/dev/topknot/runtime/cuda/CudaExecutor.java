package dev.topknot.runtime.cuda;

import dev.topknot.dsl.Optimizer;
import dev.topknot.runtime.Balance;
import dev.topknot.runtime.EvaluationOverflowException;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.CvSquared;
import dev.topknot.runtime.cpu.Initializer;
import dev.topknot.runtime.program.Executor;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Moment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collections;
import java.util.List;
import java.util.function.Supplier;

/** Memory, optimizer and diagnosis of an instance on a CUDA device. */
abstract class CudaExecutor implements Executor {
  /** Floats that are scaled at a time. */
  private static final int TILE = 1 << 20;

  final CudaDevice device;
  final Driver driver;
  final Options options;
  final Layout layout;
  final BitSet frozen;
  final CudaMemory memory;
  final FrozenSlices slices;
  final CudaContext context;

  /** What trains, set by the subclass; null in an instance for inference. */
  CudaProgram training;

  /** What {@link #training} is handed. */
  CudaRun run;

  /** How {@link #training} launches. */
  Launches launches;

  CudaExecutor(
      CudaDevice device, Options options, Layout layout, BitSet frozen, CudaMemory memory) {
    this.device = device;
    this.driver = device.driver();
    this.options = options;
    this.layout = layout;
    this.frozen = frozen;
    this.memory = memory;
    this.slices = new FrozenSlices(memory, layout, frozen);
    this.context = new CudaContext(memory, layout, options, slices);
  }

  /** Makes an executor, and frees the memory if that cannot be finished. */
  static <E> E opened(CudaDevice device, Layout layout, CudaMemory memory, Supplier<E> executor) {
    try {
      return executor.get();
    } catch (OutOfMemoryError e) {
      release(memory, e);
      throw outOfMemory(device, layout, e);
    } catch (Throwable t) {
      release(memory, t);
      throw t;
    }
  }

  private static void release(CudaMemory memory, Throwable failure) {
    try {
      memory.close();
    } catch (CudaException e) {
      failure.addSuppressed(e);
    }
  }

  /** Takes the memory of an instance that trains. */
  static CudaMemory trainingMemory(CudaDevice device, Layout layout, Optimizer optimizer) {
    try {
      return CudaMemory.training(device.driver(), layout, optimizer);
    } catch (OutOfMemoryError e) {
      throw outOfMemory(device, layout, e);
    }
  }

  private static OutOfMemoryError outOfMemory(
      CudaDevice device, Layout layout, OutOfMemoryError cause) {
    OutOfMemoryError error =
        new OutOfMemoryError(layout.spec() + " on " + device + ": " + cause.getMessage());
    error.initCause(cause);
    return error;
  }

  @Override
  public final boolean hasGradients() {
    return memory.gradients() != null;
  }

  @Override
  public final List<Moment> moments() {
    return List.copyOf(memory.moments().keySet());
  }

  @Override
  public final Tensor parameter(Layout.Slice slice) {
    return view(context.parameters(), slice);
  }

  @Override
  public final Tensor gradient(Layout.Slice slice) {
    return view(context.gradients(), slice);
  }

  @Override
  public final Tensor moment(Moment moment, Layout.Slice slice) {
    long offset = moment.offset(layout, slice);
    return new CudaTensor(device, context.moment(moment), offset, false, moment.shape(slice));
  }

  private CudaTensor view(CudaArena arena, Layout.Slice slice) {
    return new CudaTensor(device, arena, slice.offset(), false, slice.shape());
  }

  /** All of an arena as one tensor. */
  final CudaTensor all(CudaArena arena) {
    return new CudaTensor(device, arena, 0, false, arena.size());
  }

  @Override
  public final void initialise(long seed) {
    CudaTensor parameters = all(context.parameters());
    parameters.fill(0);
    Initializer.fill(
        layout,
        seed,
        (to, from, at, count) -> {
          synchronized (parameters) {
            parameters.write(to, from, at, count);
          }
        });
  }

  @Override
  public final void scaleGradients(float factor) {
    CudaTensor gradients = all(context.gradients());
    float[] tile = new float[(int) Math.min(TILE, gradients.size())];
    for (long from = 0; from < gradients.size(); from += TILE) {
      int count = (int) Math.min(TILE, gradients.size() - from);
      gradients.read(from, tile, 0, count);
      for (int i = 0; i < count; i++) {
        tile[i] *= factor;
      }
      gradients.write(from, tile, 0, count);
    }
  }

  @Override
  public final void zeroGradients() {
    all(context.gradients()).fill(0);
  }

  @Override
  public final double norm() {
    slices.upload();
    run.record().begin(false);
    run.record().frozen(slices.any());
    named(
        "the norm",
        () -> {
          run.uploadRecord();
          training.norm(launches);
          run.read();
        });
    return run.record().norm();
  }

  @Override
  public final void update(Update update, long step) {
    run.record().begin(false);
    run.record().update(constants(update), step, slices.any());
    named(
        "the update",
        () -> {
          run.uploadRecord();
          training.update(launches);
          driver.synchronize();
        });
  }

  /** Those of a step: where there is no first moment, β1 = 0. */
  final Update constants(Update update) {
    return memory.moments().containsKey(Moment.FIRST)
        ? update
        : update.withBetas(0, update.beta2());
  }

  /** Does some work up to its end; a failure that no kernel is known for says what was done. */
  final void named(String work, Runnable body) {
    try {
      body.run();
    } catch (CudaException e) {
      if (e.getCause() instanceof CudaException) {
        throw e; // names its kernel
      }
      throw new CudaException(
          String.format(
              "%s of %s: %s (with -Dtopknot.cuda.wait=true the kernel is named)",
              work, layout.spec(), e.getMessage()),
          e);
    }
  }

  @Override
  public final List<Balance> balances() {
    return balances(training);
  }

  final List<Balance> balances(CudaProgram program) {
    List<Balance> balances = new ArrayList<>();
    for (Gated gated : program.gated()) {
      int experts = gated.experts();
      double[] importance = floats(gated.importance(), experts);
      double[] load = floats(gated.load(), experts);
      ByteBuffer offsets = read(gated.offsets(), experts + 1);
      long[] tokens = new long[experts];
      for (int i = 0; i < experts; i++) {
        tokens[i] =
            (long) offsets.getInt(Integer.BYTES * (i + 1)) - offsets.getInt(Integer.BYTES * i);
      }
      boolean balanced = gated.dropped() != 0;
      long dropped = balanced ? read(gated.dropped(), 1).getInt(0) : 0;
      LayerOptions.Weights weights =
          balanced ? LayerOptions.Weights.NONE : context.layerOptions().weights(gated.layer());
      balances.add(
          new Balance(
              gated.layer(),
              importance,
              load,
              tokens,
              weights.importanceLoss() * CvSquared.of(importance),
              weights.loadLoss() * CvSquared.of(load),
              dropped));
    }
    return balances;
  }

  /**
   * Looks whether every layer had room for what its thresholds chose.
   *
   * @throws EvaluationOverflowException naming the first that had not
   */
  final void requireRoom(CudaProgram program, CudaRun of) {
    if (of.record().status() != RunRecord.STATUS_ROOM) {
      return;
    }
    for (Gated gated : program.gated()) {
      long pairs = (long) Arrays.stream(floats(gated.load(), gated.experts())).sum();
      if (gated.dropped() != 0 && pairs > (long) gated.tokens() * gated.k()) {
        throw new EvaluationOverflowException(gated.layer(), pairs, gated.tokens(), gated.k());
      }
    }
  }

  private double[] floats(long address, int count) {
    ByteBuffer from = read(address, count);
    double[] values = new double[count];
    for (int i = 0; i < count; i++) {
      values[i] = from.getFloat(Float.BYTES * i);
    }
    return values;
  }

  /** Waits for the device and reads so many words. */
  final ByteBuffer read(long address, int words) {
    ByteBuffer to = ByteBuffer.allocateDirect(Integer.BYTES * words).order(ByteOrder.nativeOrder());
    driver.read(to, address);
    return to.clear();
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

  /** The first parameter that is not finite in some arena, or null; gradients from the last. */
  final String nonFinite(CudaArena arena, String prefix) {
    List<Layout.Slice> all = new ArrayList<>(layout.slices());
    if (!prefix.isEmpty()) {
      Collections.reverse(all);
    }
    for (Layout.Slice slice : all) {
      if (!view(arena, slice).isFinite(0, slice.size())) {
        return prefix + slice.name();
      }
    }
    return null;
  }

  /** Runs a forward again and returns the first tensor it produced that is not finite, or null. */
  final String diagnose(CudaProgram program, Launches by, CudaRun of, int tokens) {
    String[] found = new String[1];
    by.diagnose(
        (tensor, address, rows, columns) -> {
          if (found[0] == null
              && !finite(address, meaningful(rows, columns, tokens, of.record().valid()))) {
            found[0] = tensor;
          }
        });
    try {
      named(
          "the diagnosis",
          () -> {
            of.uploadRecord();
            program.forward(by);
            driver.synchronize();
          });
      return found[0];
    } finally {
      by.diagnose(null);
    }
  }

  /** Floats of a matrix that belong to valid tokens; all, when its rows are not tokens. */
  private static long meaningful(long rows, long columns, int tokens, int valid) {
    if (rows == 1 && columns == tokens) {
      return valid;
    }
    return rows % tokens == 0 ? rows / tokens * valid * columns : rows * columns;
  }

  private boolean finite(long address, long count) {
    for (long from = 0; from < count; from += TILE) {
      int floats = (int) Math.min(TILE, count - from);
      ByteBuffer piece = read(address + Float.BYTES * from, floats);
      for (int i = 0; i < floats; i++) {
        if (!Float.isFinite(piece.getFloat(Float.BYTES * i))) {
          return false;
        }
      }
    }
    return true;
  }

  @Override
  public final void close() {
    memory.close();
  }
}
