package dev.topknot.it.cuda;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.cpu.Arena;
import dev.topknot.runtime.cpu.CpuAccess;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.Ints;
import dev.topknot.runtime.cpu.Matrix;
import dev.topknot.runtime.cpu.Run;
import dev.topknot.runtime.program.Layout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Operands of the CPU's operations, which are the reference of the kernels; freed at once. */
final class CpuValues implements AutoCloseable {
  static final long SEED = 0x0123456789abcdefL;
  static final int STEP = 17;
  static final int FIRST_TOKEN = 1000;
  private static final Layout NO_PARAMETERS = Layout.of("Test", List.of());

  private final List<Arena> arenas = new ArrayList<>();

  static CpuContext context(Options options) {
    return CpuAccess.context(1, options, NO_PARAMETERS);
  }

  static Run run(int tokens, int valid, boolean add) {
    Run run = CpuAccess.run(tokens, NO_PARAMETERS);
    CpuAccess.train(run, valid, STEP, SEED, FIRST_TOKEN);
    CpuAccess.add(run, add);
    return run;
  }

  /** A copy, row by row; none of what lies behind. */
  Matrix floats(float[] values, int rows, int columns) {
    Matrix matrix = empty(rows, columns);
    matrix.write(0, values, 0, Math.min(values.length, rows * columns));
    return matrix;
  }

  Matrix empty(int rows, int columns) {
    Arena arena = Arena.allocate(Math.max(1, rows * columns));
    arenas.add(arena);
    Matrix matrix = arena.matrix(0, rows, columns);
    matrix.fill(Float.NaN);
    return matrix;
  }

  Ints ints(int... values) {
    Arena arena = Arena.allocate(values.length);
    arenas.add(arena);
    Ints ints = arena.ints(0, values.length);
    ints.write(0, values, 0, values.length);
    return ints;
  }

  static float[] read(Matrix matrix) {
    float[] values = new float[Math.toIntExact(matrix.size())];
    matrix.read(0, values, 0, values.length);
    return values;
  }

  /** The rows of valid tokens as double. */
  static double[] rows(Matrix matrix, int rows) {
    return Reference.doubles(read(matrix), Math.toIntExact(rows * matrix.columns()));
  }

  static int[] read(Ints ints, int count) {
    int[] values = new int[count];
    ints.read(0, values, 0, count);
    return values;
  }

  /** Values of which those of rows that are not valid are NaN. */
  static float[] poisoned(float[] values, int valid, int columns) {
    float[] result = values.clone();
    Arrays.fill(result, valid * columns, result.length, Float.NaN);
    return result;
  }

  @Override
  public void close() {
    arenas.forEach(Arena::close);
  }
}
