package dev.topknot.runtime.cpu;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.program.Layout;
import java.util.List;
import java.util.Random;

/** A layer of the ops, wired as generated code wires them, over buffers of exactly its shapes. */
final class MoEOps implements AutoCloseable {
  static final double NOISE_FLOOR = 0.01;
  static final double IMPORTANCE_LOSS = 0.3;
  static final double LOAD_LOSS = 0.2;
  private static final int STREAM = 3;

  /** Experts from which the gradients of a gate without noise are summed from the chosen. */
  private static final int SPARSE = 20;

  /** What a layer is made of; {@code tokens} is the most it takes. */
  record Shape(
      int tokens,
      int width,
      int experts,
      int k,
      int hidden,
      ActivationFunction activation,
      Gating gating) {}

  final Shape shape;
  final Run run;
  private final Arena arena;
  private long used;

  private final NoisyTopKGate noisyGate;
  private final TopKGate plainGate;
  private final Dispatch dispatch;
  private final Experts experts;
  private final SwigluExperts swiglu;
  private final Combine combine;

  final Matrix x;
  final Matrix y;
  final Matrix dy;
  final Matrix dx;
  final Matrix gateWeights;
  final Matrix noiseWeights;
  final Matrix w1;
  final Matrix w2;
  final Matrix w3;
  final Matrix dGateWeights;
  final Matrix dNoiseWeights;
  final Matrix dW1;
  final Matrix dW2;
  final Matrix dW3;
  final Matrix clean;
  final Matrix raw;
  final Matrix noisy;
  final Ints chosen;
  final Matrix gates;
  final Matrix importance;
  final Matrix load;
  final Ints offsets;
  final Ints rows;
  final Ints slots;
  private final Matrix gathered;
  private final Matrix gatheredDy;
  private final Matrix hidden;
  private final Matrix u;
  private final Matrix v;
  private final Matrix dHidden;
  private final Matrix dV;
  private final Matrix out;
  private final Matrix dOut;
  private final Matrix dGates;
  private final Matrix dClean;
  private final Matrix dRaw;

  MoEOps(Shape shape, int threads, Options options) {
    this.shape = shape;
    int t = shape.tokens();
    int d = shape.width();
    int n = shape.experts();
    int h = shape.hidden();
    int p = t * shape.k();
    CpuContext context = Fixture.context(threads, options, Layout.of("Test", List.of()));
    run = Fixture.run(t, t);
    boolean gated = shape.activation() == ActivationFunction.SWIGLU;
    boolean withNoise = shape.gating() == Gating.NOISY_TOP_K;
    noisyGate =
        withNoise
            ? new NoisyTopKGate(
                context, "moe", t, d, n, shape.k(), NOISE_FLOOR, IMPORTANCE_LOSS, LOAD_LOSS, STREAM)
            : null;
    plainGate =
        withNoise
            ? null
            : new TopKGate(
                context,
                "moe",
                t,
                d,
                n,
                shape.k(),
                shape.gating(),
                IMPORTANCE_LOSS,
                LOAD_LOSS,
                n >= SPARSE);
    dispatch = new Dispatch(context, "moe", t, n, shape.k());
    experts =
        gated
            ? null
            : new Experts(context, "moe", t, d, n, shape.k(), shape.k(), h, shape.activation());
    swiglu = gated ? new SwigluExperts(context, "moe", t, d, n, shape.k(), shape.k(), h) : null;
    combine = new Combine(context, "moe", t, d, shape.k());
    long rowsOfTokens = (long) t * (4L * d + 5L * n + 2L * shape.k());
    long rowsOfSlots = (long) p * (4L * d + 5L * h + 3);
    long weights = 2L * n * d * (2 + 3L * h);
    arena = Arena.allocate(rowsOfTokens + rowsOfSlots + weights + 3L * n + 1 + 64L * 64);
    x = matrix(t, d);
    y = matrix(t, d);
    dy = matrix(t, d);
    dx = matrix(t, d);
    gateWeights = matrix(n, d);
    noiseWeights = matrix(n, d);
    w1 = matrix(n * h, d);
    w2 = matrix(n * d, h);
    w3 = matrix(n * h, d);
    dGateWeights = matrix(n, d);
    dNoiseWeights = matrix(n, d);
    dW1 = matrix(n * h, d);
    dW2 = matrix(n * d, h);
    dW3 = matrix(n * h, d);
    clean = matrix(t, n);
    raw = matrix(t, n);
    noisy = matrix(t, n);
    chosen = ints(p);
    gates = matrix(t, shape.k());
    importance = matrix(1, n);
    load = matrix(1, n);
    offsets = ints(n + 1);
    rows = ints(p);
    slots = ints(p);
    gathered = matrix(p, d);
    gatheredDy = matrix(p, d);
    hidden = matrix(p, h);
    u = matrix(p, h);
    v = matrix(p, h);
    dHidden = matrix(p, h);
    dV = matrix(p, h);
    out = matrix(p, d);
    dOut = matrix(p, d);
    dGates = matrix(t, shape.k());
    dClean = matrix(t, n);
    dRaw = matrix(t, n);
  }

  private Matrix matrix(int rows, int columns) {
    Matrix matrix = arena.matrix(used, rows, columns);
    used += (matrix.size() + 15) / 16 * 16;
    return matrix;
  }

  private Ints ints(int size) {
    Ints ints = arena.ints(used, size);
    used += (ints.size() + 15) / 16 * 16;
    return ints;
  }

  /** Fills inputs and weights with new values and everything else with NaN. */
  void draw(long seed) {
    Random random = new Random(seed);
    poison();
    for (Matrix m : List.of(x, dy, gateWeights, noiseWeights, w1, w2, w3)) {
      fill(m, random);
    }
  }

  private void poison() {
    for (Matrix m :
        List.of(
            y,
            dx,
            dGateWeights,
            dNoiseWeights,
            dW1,
            dW2,
            dW3,
            clean,
            raw,
            noisy,
            gates,
            importance,
            load,
            gathered,
            gatheredDy,
            hidden,
            u,
            v,
            dHidden,
            dV,
            out,
            dOut,
            dGates,
            dClean,
            dRaw)) {
      m.fill(Float.NaN);
    }
  }

  static void fill(Matrix m, Random random) {
    float[] values = new float[Math.toIntExact(m.size())];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (0.7 * random.nextGaussian());
    }
    m.write(0, values, 0, values.length);
  }

  void forward() {
    if (noisyGate != null) {
      noisyGate.forward(
          run, x, gateWeights, noiseWeights, clean, raw, noisy, chosen, gates, importance, load);
    } else {
      plainGate.forward(run, x, gateWeights, clean, chosen, gates, importance, load);
    }
    outputs();
  }

  void infer() {
    if (noisyGate != null) {
      noisyGate.infer(run, x, gateWeights, clean, chosen, gates, importance, load);
    } else {
      plainGate.infer(run, x, gateWeights, clean, chosen, gates, importance, load);
    }
    outputs();
  }

  private void outputs() {
    dispatch.forward(run, chosen, offsets, rows, slots);
    if (swiglu != null) {
      swiglu.forward(run, x, offsets, rows, w1, w2, w3, gathered, u, v, hidden, out);
    } else {
      experts.forward(run, x, offsets, rows, w1, w2, gathered, hidden, out);
    }
    combine.forward(run, out, gates, slots, y);
  }

  void backward() {
    if (swiglu != null) {
      swiglu.backward(
          run,
          x,
          dy,
          offsets,
          rows,
          slots,
          gates,
          w1,
          w2,
          w3,
          u,
          v,
          dGates,
          gathered,
          gatheredDy,
          hidden,
          dHidden,
          dV,
          dOut,
          dW1,
          dW2,
          dW3);
    } else {
      experts.backward(
          run,
          x,
          dy,
          offsets,
          rows,
          slots,
          gates,
          w1,
          w2,
          hidden,
          dGates,
          gathered,
          gatheredDy,
          dHidden,
          dOut,
          dW1,
          dW2);
    }
    combine.backward(run, dOut, slots, dx);
    if (noisyGate != null) {
      noisyGate.backward(
          run,
          x,
          gateWeights,
          noiseWeights,
          clean,
          raw,
          noisy,
          chosen,
          gates,
          importance,
          load,
          dGates,
          dClean,
          dRaw,
          dx,
          dGateWeights,
          dNoiseWeights);
    } else {
      plainGate.backward(
          run,
          x,
          gateWeights,
          clean,
          chosen,
          gates,
          importance,
          load,
          dGates,
          dClean,
          dx,
          dGateWeights);
    }
  }

  Balance balance() {
    return noisyGate != null
        ? noisyGate.balance(run, "moe", importance, load, offsets)
        : plainGate.balance(run, "moe", importance, load, offsets);
  }

  /** The same layer in double precision, for the valid tokens, with this one's selection. */
  DoubleMoE reference(boolean noise) {
    int valid = run.valid();
    DoubleMoE r =
        new DoubleMoE(
            valid, shape.width(), shape.experts(), shape.k(), shape.hidden(), shape.activation());
    r.x = Fixture.doubles(x.rows(0, valid));
    r.dy = Fixture.doubles(dy.rows(0, valid));
    r.gateWeights = Fixture.doubles(gateWeights);
    r.noiseWeights = noise ? Fixture.doubles(noiseWeights) : null;
    r.w1 = Fixture.doubles(w1);
    r.w2 = Fixture.doubles(w2);
    r.w3 = Fixture.doubles(w3);
    r.chosen = new int[valid * shape.k()];
    chosen.read(0, r.chosen, 0, r.chosen.length);
    r.noiseFloor = NOISE_FLOOR;
    r.importanceLoss = IMPORTANCE_LOSS;
    r.loadLoss = LOAD_LOSS;
    r.amongAll = shape.gating() == Gating.SOFTMAX_TOP_K && shape.k() == 1;
    r.noise = new double[valid * shape.experts()];
    float[] row = new float[shape.experts()];
    for (int t = 0; t < valid; t++) {
      Noise.normals(
          run.seed(),
          run.step(),
          run.firstToken() + t,
          Noise.stream(STREAM, Noise.Purpose.GATE, 0),
          row,
          0,
          row.length);
      for (int i = 0; i < row.length; i++) {
        r.noise[t * row.length + i] = row[i];
      }
    }
    return r;
  }

  @Override
  public void close() {
    arena.close();
  }
}
