package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Layout;
import java.util.Arrays;
import java.util.List;

/**
 * Adam with bias correction and clipping by the global norm, over every parameter of a layout. The
 * arenas are walked in chunks that depend on the layout only, each in tiles small enough for the
 * first-level cache. Frozen tensors are left out of the norm and keep their values and moments.
 */
public final class Adam {
  /** Floats of one task. */
  private static final int CHUNK = 1 << 16;

  /** Floats of a step's tile: with 256 it takes two thirds of the time that it takes with 1024. */
  private static final int STEP_TILE = 1 << 8;

  /** Floats of a tile of the norm, which reads one arena and not four. */
  private static final int NORM_TILE = 1 << 10;

  /**
   * Added to a moment and subtracted again. It turns what is below 3e-38 into zero and moves no
   * other moment by more than that: moments that get no gradient any more would otherwise end among
   * the denormal numbers, where arithmetic is many times slower.
   */
  static final float FLUSH = 1e-30f;

  /** No clipping leaves a longer gradient than this: its square would be infinite in a moment. */
  private static final double LARGEST_NORM = 1e19;

  private final Workers workers;
  private final List<Layout.Entry> entries;
  private final Chunk[] chunks;
  private final double[] chunkSquares;
  private final Tiles[] tiles;

  private final Workers.Task sumSquares = this::sumSquares;
  private final Workers.Task step = this::step;

  // Operands of the running call.
  private Run run;
  private Matrix parameters;
  private Matrix gradients;
  private Matrix firstMoments;
  private Matrix secondMoments;

  // The constants of the step, bias correction folded in.
  private float clip;
  private float keepFirst;
  private float addFirst;
  private float keepSecond;
  private float addSecond;
  private float rate;
  private float rootScale;
  private float epsilon;

  /** An optimizer of all parameters of the context's layout. */
  public Adam(CpuContext context) {
    workers = context.cpu().workers();
    entries = context.layout().entries();
    chunks = chunks(entries);
    chunkSquares = new double[chunks.length];
    tiles = new Tiles[workers.threads()];
    Arrays.setAll(tiles, i -> new Tiles());
  }

  private static Chunk[] chunks(List<Layout.Entry> entries) {
    long count = 0;
    for (Layout.Entry entry : entries) {
      count += (entry.size() + CHUNK - 1) / CHUNK;
    }
    Chunk[] chunks = new Chunk[Math.toIntExact(count)];
    int next = 0;
    for (int e = 0; e < entries.size(); e++) {
      long size = entries.get(e).size();
      for (long at = 0; at < size; at += CHUNK) {
        chunks[next++] = new Chunk(e, at, (int) Math.min(CHUNK, size - at));
      }
    }
    return chunks;
  }

  /**
   * Writes the global norm of the gradients of all tensors that are not frozen into the run: the
   * root of the sum of squares, in double, chunk after chunk.
   *
   * @param gradients the whole arena, of the layout's size
   */
  public void norm(Run run, Matrix gradients) {
    this.run = run;
    this.gradients = gradients;
    workers.parallel(chunks.length, sumSquares);
    double sum = 0;
    for (double squares : chunkSquares) {
      sum += squares;
    }
    run.setGradientNorm(Math.sqrt(sum));
  }

  /**
   * One step with the constants of {@link Run#update()}: the gradient g, scaled by min(1, clip /
   * norm), moves m and v; then p −= rate · m̂ / (√v̂ + ε), where m̂ and v̂ are corrected for the
   * {@link Run#step() step} + 1 updates they have seen. Follows {@link #norm} of the same
   * gradients.
   *
   * @param parameters the whole arena, of the layout's size, as are the others
   * @param gradients read, not changed by clipping
   * @param firstMoments m
   * @param secondMoments v
   */
  public void update(
      Run run, Matrix parameters, Matrix gradients, Matrix firstMoments, Matrix secondMoments) {
    this.run = run;
    this.parameters = parameters;
    this.gradients = gradients;
    this.firstMoments = firstMoments;
    this.secondMoments = secondMoments;
    Update update = run.update();
    double updates = run.step() + 1.0;
    clip = clip(run);
    keepFirst = (float) update.beta1();
    addFirst = (float) (1 - update.beta1());
    keepSecond = (float) update.beta2();
    addSecond = (float) (1 - update.beta2());
    rate = (float) (update.rate() / (1 - Math.pow(update.beta1(), updates)));
    rootScale = rootScale(run);
    epsilon = epsilon(update);
    workers.parallel(chunks.length, step);
  }

  /** What clipping leaves of a gradient, at most 1. */
  static float clip(Run run) {
    return (float) Math.min(1, Math.min(run.update().clip(), LARGEST_NORM) / run.gradientNorm());
  }

  /** What bias correction multiplies the root of a second moment by. */
  static float rootScale(Run run) {
    return (float) (1 / Math.sqrt(1 - Math.pow(run.update().beta2(), run.step() + 1.0)));
  }

  /** What is added to the root: never 0, as a root may be that. */
  static float epsilon(Update update) {
    return (float) Math.max(update.epsilon(), Float.MIN_NORMAL);
  }

  private void sumSquares(int task, int worker) {
    Chunk chunk = chunks[task];
    Layout.Entry entry = entries.get(chunk.entry);
    double sum = 0;
    for (long at = chunk.at, end = chunk.at + chunk.size; at < end; ) {
      int count = live(chunk, at, NORM_TILE);
      if (count > 0) {
        gradients.read(entry.offset() + at, tiles[worker].g, 0, count);
        sum += squares(tiles[worker].g, count);
      }
      at += Math.abs(count);
    }
    chunkSquares[task] = sum;
  }

  private void step(int task, int worker) {
    Chunk chunk = chunks[task];
    Layout.Entry entry = entries.get(chunk.entry);
    Tiles tile = tiles[worker];
    for (long at = chunk.at, end = chunk.at + chunk.size; at < end; ) {
      int count = live(chunk, at, STEP_TILE);
      if (count > 0) {
        long from = entry.offset() + at;
        parameters.read(from, tile.p, 0, count);
        gradients.read(from, tile.g, 0, count);
        firstMoments.read(from, tile.m, 0, count);
        secondMoments.read(from, tile.v, 0, count);
        step(tile, count);
        parameters.write(from, tile.p, 0, count);
        firstMoments.write(from, tile.m, 0, count);
        secondMoments.write(from, tile.v, 0, count);
      }
      at += Math.abs(count);
    }
  }

  /**
   * How many floats from {@code at} within a chunk make the next tile, at most {@code tile};
   * negative, how many to leave out because their tensor is frozen. A tile does not reach from a
   * frozen tensor into another.
   */
  private int live(Chunk chunk, long at, int tile) {
    int left = (int) (chunk.at + chunk.size - at);
    if (run.nothingFrozen()) {
      return Math.min(tile, left);
    }
    Layout.Entry entry = entries.get(chunk.entry);
    long tensor = entry.rows() * entry.columns();
    int copy = (int) (at / tensor);
    left = (int) Math.min(left, (copy + 1) * tensor - at);
    return run.frozen(chunk.entry, copy) ? -left : Math.min(tile, left);
  }

  private static double squares(float[] g, int count) {
    // four sums: a single one would wait for each addition before the next
    double s0 = 0;
    double s1 = 0;
    double s2 = 0;
    double s3 = 0;
    int i = 0;
    for (; i + 4 <= count; i += 4) {
      s0 += (double) g[i] * g[i];
      s1 += (double) g[i + 1] * g[i + 1];
      s2 += (double) g[i + 2] * g[i + 2];
      s3 += (double) g[i + 3] * g[i + 3];
    }
    for (; i < count; i++) {
      s0 += (double) g[i] * g[i];
    }
    return (s0 + s1) + (s2 + s3);
  }

  private void step(Tiles tile, int count) {
    // locals, so that HotSpot need not assume that a store to an array changes a field
    float[] p = tile.p;
    float[] g = tile.g;
    float[] m = tile.m;
    float[] v = tile.v;
    float clip = this.clip;
    float keepFirst = this.keepFirst;
    float addFirst = this.addFirst;
    float keepSecond = this.keepSecond;
    float addSecond = this.addSecond;
    float rate = this.rate;
    float rootScale = this.rootScale;
    float epsilon = this.epsilon;
    for (int i = 0; i < count; i++) {
      float scaled = clip * g[i];
      float first = keepFirst * m[i] + addFirst * scaled + FLUSH - FLUSH;
      float second = keepSecond * v[i] + addSecond * scaled * scaled + FLUSH - FLUSH;
      m[i] = first;
      v[i] = second;
      p[i] -= rate * first / ((float) Math.sqrt(second) * rootScale + epsilon);
    }
  }

  /** Part of an entry, its copies one after the other, that one task walks. */
  private record Chunk(int entry, long at, int size) {}

  /** One worker's heap copies of a part of each arena. */
  private static final class Tiles {
    final float[] p = new float[STEP_TILE];
    final float[] g = new float[NORM_TILE];
    final float[] m = new float[STEP_TILE];
    final float[] v = new float[STEP_TILE];
  }
}
