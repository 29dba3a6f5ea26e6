package dev.topknot.runtime.cpu;

import dev.topknot.runtime.program.Layout;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * First values of parameters. Each entry of a layer has a stream of its own, in which row r of its
 * copies draws under token r: a value depends on the seed and on where it is, never on threads.
 */
final class Initializer {
  /** Floats that one task fills, about. */
  private static final int TILE = 1 << 16;

  private final Workers workers;
  private final Layout layout;

  Initializer(Workers workers, Layout layout) {
    this.workers = workers;
    this.layout = layout;
  }

  void fill(Arena parameters, long seed) {
    Map<Integer, Integer> numbers = new HashMap<>();
    for (Layout.Entry entry : layout.entries()) {
      int number = numbers.merge(entry.streamLayer(), 1, Integer::sum) - 1;
      Matrix values =
          parameters.matrix(entry.offset(), entry.copies() * entry.rows(), entry.columns());
      switch (entry.init()) {
        case ZERO -> values.fill(0);
        case LSTM_BIAS -> forgetOne(entry, values);
        case GLOROT_UNIFORM, EMBEDDING_UNIFORM, RECURRENT ->
            uniform(entry, values, bound(entry), seed, number);
      }
    }
  }

  private static float bound(Layout.Entry entry) {
    return (float)
        switch (entry.init()) {
          case GLOROT_UNIFORM -> Math.sqrt(6.0 / (entry.rows() + entry.columns()));
          case RECURRENT -> 1 / Math.sqrt((double) entry.columns());
          default -> 0.1;
        };
  }

  private static void forgetOne(Layout.Entry entry, Matrix values) {
    int units = Math.toIntExact(entry.columns() / 4);
    float[] ones = new float[units];
    Arrays.fill(ones, 1);
    values.fill(0);
    for (int copy = 0; copy < entry.copies(); copy++) {
      values.write(copy * entry.columns() + units, ones, 0, units);
    }
  }

  private void uniform(Layout.Entry entry, Matrix values, float bound, long seed, int number) {
    int columns = Math.toIntExact(values.columns());
    int rows = Math.toIntExact(values.rows());
    int rowsOfTask = Math.max(1, TILE / columns);
    int stream = Noise.stream(entry.streamLayer(), Noise.Purpose.INIT, number);
    workers.parallel(
        (rows + rowsOfTask - 1) / rowsOfTask,
        (task, worker) -> {
          int from = task * rowsOfTask;
          int count = Math.min(rowsOfTask, rows - from);
          float[] tile = new float[count * columns];
          for (int r = 0; r < count; r++) {
            Noise.uniforms(seed, 0, from + r, stream, tile, r * columns, columns);
          }
          for (int i = 0; i < tile.length; i++) {
            tile[i] = (2 * tile[i] - 1) * bound;
          }
          values.write((long) from * columns, tile, 0, tile.length);
        });
  }
}
