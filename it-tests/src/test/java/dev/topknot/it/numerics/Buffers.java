package dev.topknot.it.numerics;

import dev.topknot.it.reference.Matrix;
import dev.topknot.runtime.cpu.Arena;
import dev.topknot.runtime.cpu.Ints;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Off-heap memory of a test, freed at once. Floats begin as NaN, ints as −1. */
final class Buffers implements AutoCloseable {
  private final List<Arena> arenas = new ArrayList<>();

  /** Poisoned floats. */
  dev.topknot.runtime.cpu.Matrix floats(int rows, int columns) {
    dev.topknot.runtime.cpu.Matrix matrix = arena((long) rows * columns).matrix(0, rows, columns);
    matrix.fill(Float.NaN);
    return matrix;
  }

  /** A copy of {@code values}, rounded to float. */
  dev.topknot.runtime.cpu.Matrix floats(Matrix values) {
    dev.topknot.runtime.cpu.Matrix matrix = floats(values.rows(), values.columns());
    write(matrix, values);
    return matrix;
  }

  /** Poisoned ints. */
  Ints ints(int size) {
    int[] poison = new int[size];
    Arrays.fill(poison, -1);
    return ints(poison);
  }

  /** A copy of {@code values}. */
  Ints ints(int[] values) {
    Ints ints = arena(values.length).ints(0, values.length);
    ints.write(0, values, 0, values.length);
    return ints;
  }

  private Arena arena(long size) {
    Arena arena = Arena.allocate(size);
    arenas.add(arena);
    return arena;
  }

  @Override
  public void close() {
    arenas.forEach(Arena::close);
  }

  /** Writes {@code values} from the first row on. */
  static void write(dev.topknot.runtime.cpu.Matrix to, Matrix values) {
    float[] floats = values.toFloats();
    to.write(0, floats, 0, floats.length);
  }

  /** The first {@code rows} rows. */
  static Matrix read(dev.topknot.runtime.cpu.Matrix from, int rows) {
    int columns = Math.toIntExact(from.columns());
    return Matrix.of(rows, columns, floats(from, rows));
  }

  /** All of a matrix. */
  static Matrix read(dev.topknot.runtime.cpu.Matrix from) {
    return read(from, Math.toIntExact(from.rows()));
  }

  /** The first {@code rows} rows as they are, to the bit. */
  static float[] floats(dev.topknot.runtime.cpu.Matrix from, int rows) {
    float[] floats = new float[Math.toIntExact(rows * from.columns())];
    from.read(0, floats, 0, floats.length);
    return floats;
  }

  /** All of a matrix as it is, to the bit. */
  static float[] floats(dev.topknot.runtime.cpu.Matrix from) {
    return floats(from, Math.toIntExact(from.rows()));
  }

  /** The first {@code count} ints. */
  static int[] read(Ints from, int count) {
    int[] ints = new int[count];
    from.read(0, ints, 0, count);
    return ints;
  }
}
