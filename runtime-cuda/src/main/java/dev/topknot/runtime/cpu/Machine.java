package dev.topknot.runtime.cpu;

import dev.topknot.runtime.program.Phase.Product;
import java.util.HashMap;
import java.util.Map;

/**
 * What this machine does at its best, measured: matrix products of given shapes with their operands
 * in cache, and bytes from memory. Every figure is the best of some runs on all threads at once.
 */
final class Machine {
  /** Floats that no cache holds. */
  private static final int FAR = 1 << 27;

  private static final int CHUNK = 1 << 20;
  private static final int COLUMNS = 1024;

  /** What one run of products takes about, in multiply-adds a thread. */
  private static final long WORK = 200_000_000;

  private static final int LARGEST = 1024;
  private static final int RUNS = 20;

  private final Cpu cpu;
  private final Map<Shape, Double> rates = new HashMap<>();
  private double bandwidth;

  Machine(Cpu cpu) {
    this.cpu = cpu;
  }

  /** A product by the sizes that its rate depends on. */
  private record Shape(Product.Kind kind, int rows, int inputs, int outputs) {
    static Shape of(Product product) {
      return new Shape(
          product.kind(),
          size(Math.max(1, Math.round((double) product.rows() / product.groups()))),
          size(product.inputs()),
          size(product.outputs()));
    }

    /** More makes no product faster, and would leave the cache. */
    private static int size(long size) {
      return (int) Math.min(LARGEST, size);
    }

    long multiplyAdds() {
      return (long) rows * inputs * outputs;
    }
  }

  /** Seconds that a product takes at least. */
  double seconds(Product product) {
    return product.flops() / rates.computeIfAbsent(Shape.of(product), this::measure);
  }

  /** FLOP/s of the fastest product measured so far. */
  double peak() {
    return rates.values().stream().mapToDouble(Double::doubleValue).max().orElse(0);
  }

  /** Bytes a second that all threads together read from memory. */
  double bandwidth() {
    if (bandwidth == 0) {
      Arena arena = Arena.allocate(FAR);
      try {
        Matrix far = arena.matrix(0, FAR / COLUMNS, COLUMNS);
        far.fill(1);
        Matrix[] near = near(2 * COLUMNS + CHUNK / COLUMNS);
        float[][] tiles = new float[near.length][Perceptron.TILE];
        bandwidth =
            Float.BYTES
                * (double) FAR
                / Math.min(
                    best(FAR / CHUNK, (task, worker) -> dots(far, task, near[worker])),
                    best(FAR / CHUNK, (task, worker) -> copies(far, task, tiles[worker])));
      } finally {
        arena.close();
      }
    }
    return bandwidth;
  }

  /** Reads a chunk as a product with one row, which is all reading. */
  private void dots(Matrix far, int chunk, Matrix near) {
    cpu.gemm()
        .multiply(
            false,
            true,
            1,
            CHUNK / COLUMNS,
            COLUMNS,
            1,
            near,
            0,
            COLUMNS,
            far,
            (long) chunk * CHUNK,
            COLUMNS,
            0,
            near,
            COLUMNS,
            CHUNK / COLUMNS);
  }

  private static void copies(Matrix far, int chunk, float[] tile) {
    for (int at = 0; at < CHUNK; at += tile.length) {
      far.read((long) chunk * CHUNK + at, tile, 0, tile.length);
    }
  }

  /** The rate of the fastest way to write a product as one of row-major matrices. */
  private double measure(Shape s) {
    int rows = s.rows();
    int inputs = s.inputs();
    int outputs = s.outputs();
    return switch (s.kind()) {
      case FORWARD ->
          Math.max(
              rate(s, false, true, rows, outputs, inputs),
              rate(s, false, true, outputs, rows, inputs));
      case INPUT_GRADIENT ->
          Math.max(
              rate(s, false, false, rows, inputs, outputs),
              rate(s, true, true, inputs, rows, outputs));
      case WEIGHT_GRADIENT ->
          Math.max(
              rate(s, true, false, outputs, inputs, rows),
              rate(s, true, false, inputs, outputs, rows));
    };
  }

  private double rate(Shape s, boolean transposeA, boolean transposeB, int m, int n, int k) {
    int floats = Math.addExact(Math.addExact(m * k, k * n), m * n);
    Matrix[] near = near(floats);
    int repeats = Math.toIntExact(Math.max(1, WORK / s.multiplyAdds()));
    double seconds =
        best(
            near.length,
            (task, worker) -> {
              for (int i = 0; i < repeats; i++) {
                cpu.gemm()
                    .multiply(
                        transposeA,
                        transposeB,
                        m,
                        n,
                        k,
                        1,
                        near[task],
                        0,
                        transposeA ? m : k,
                        near[task],
                        (long) m * k,
                        transposeB ? k : n,
                        0,
                        near[task],
                        (long) m * k + (long) k * n,
                        n);
              }
            });
    return 2.0 * s.multiplyAdds() * repeats * near.length / seconds;
  }

  /** So many ones for each thread. */
  private Matrix[] near(int floats) {
    Matrix[] matrices = new Matrix[cpu.workers().threads()];
    for (int i = 0; i < matrices.length; i++) {
      matrices[i] = Scratch.matrix(1, floats);
      matrices[i].fill(1);
    }
    return matrices;
  }

  /** The seconds of the fastest run. */
  private double best(int tasks, Workers.Task task) {
    long best = Long.MAX_VALUE;
    for (int i = 0; i < RUNS; i++) {
      long start = System.nanoTime();
      cpu.workers().parallel(tasks, task);
      best = Math.min(best, System.nanoTime() - start);
    }
    return best * 1e-9;
  }
}
