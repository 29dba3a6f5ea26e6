package dev.topknot.runtime.cpu;

import dev.topknot.runtime.program.Layout;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * First values of parameters. Each entry of a layer has a stream of its own, in which row r of its
 * copies draws under token r: a value depends on the seed and on where it is, never on threads.
 */
public final class Initializer {
  /** Floats that one task fills, about. */
  private static final int TILE = 1 << 16;

  private final Workers workers;
  private final Layout layout;
  private final Values values;

  private Initializer(Workers workers, Layout layout, Values values) {
    this.workers = workers;
    this.layout = layout;
    this.values = values;
  }

  /** Where values go, from several threads; floats that are not written are zero already. */
  @FunctionalInterface
  public interface Values {
    /**
     * Takes some values.
     *
     * @param to where the first goes, in floats from the start of the arena
     * @param from holds them
     * @param at where in the array the first is
     * @param count how many
     */
    void write(long to, float[] from, int at, int count);
  }

  /** Computes the first values of all parameters, on all processors of this machine. */
  public static void fill(Layout layout, long seed, Values zeros) {
    fill(CpuDevice.of(Runtime.getRuntime().availableProcessors()), layout, seed, zeros);
  }

  static void fill(CpuDevice device, Layout layout, long seed, Values zeros) {
    new Initializer(device.hardware().workers(), layout, zeros).fill(seed);
  }

  private void fill(long seed) {
    Map<Integer, Integer> numbers = new HashMap<>();
    for (Layout.Entry entry : layout.entries()) {
      int number = numbers.merge(entry.streamLayer(), 1, Integer::sum) - 1;
      switch (entry.init()) {
        case ZERO -> {} // as it is
        case CONSTANT -> constant(entry);
        case LSTM_BIAS -> forgetOne(entry);
        case GLOROT_UNIFORM, EMBEDDING_UNIFORM, RECURRENT ->
            uniform(entry, bound(entry), seed, number);
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

  private void constant(Layout.Entry entry) {
    float[] all = new float[Math.toIntExact(entry.size())];
    Arrays.fill(all, (float) entry.constant());
    values.write(entry.offset(), all, 0, all.length);
  }

  private void forgetOne(Layout.Entry entry) {
    int units = Math.toIntExact(entry.columns() / 4);
    float[] ones = new float[units];
    Arrays.fill(ones, 1);
    for (int copy = 0; copy < entry.copies(); copy++) {
      values.write(entry.offset(copy) + units, ones, 0, units);
    }
  }

  private void uniform(Layout.Entry entry, float bound, long seed, int number) {
    int columns = Math.toIntExact(entry.columns());
    int rows = Math.toIntExact(entry.copies() * entry.rows());
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
          values.write(entry.offset() + (long) from * columns, tile, 0, tile.length);
        });
  }
}
