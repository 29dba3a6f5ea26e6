package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Grid.blocks;

import java.util.Arrays;
import java.util.stream.Stream;

/** Launches of the matrix products of {@code gemm.cuh} and of what belongs to them. */
final class Products {
  /** Rows and columns of a tile. */
  private static final int TILE = 64;

  private static final int THREADS = 256;

  /** Two stages of both operands, [16, 64 + 4] each. */
  private static final int SHARED = 2 * 16 * 2 * (TILE + 4) * Float.BYTES;

  /** Rows and columns of a tile of a recurrent step, and its two stages, [32, 32 + 4] each. */
  private static final int STEP_TILE = 32;

  private static final int STEP_THREADS = 128;
  private static final int STEP_SHARED = 2 * 32 * 2 * (STEP_TILE + 4) * Float.BYTES;

  private Products() {}

  /** c [rows, columns] over {@code depth}; the run comes before the arguments. */
  static Kernel dense(String name, long rows, long columns, long depth, Argument... arguments) {
    return kernel(name, Grid.of(blocks(rows, TILE), blocks(columns, TILE)), SHARED, arguments)
        .costing(2 * rows * columns * depth, bytes(1, rows, columns, depth));
  }

  /** A weight's gradient [outputs, inputs] over {@code rows}; the run comes first. */
  static Kernel weight(String name, long rows, long outputs, long inputs, Argument... arguments) {
    return kernel(name, Grid.of(blocks(outputs, TILE), blocks(inputs, TILE)), SHARED, arguments)
        .costing(2 * rows * outputs * inputs, bytes(1, outputs, inputs, rows));
  }

  /** The sum of {@code rows} rows of so many columns; the run comes first. */
  static Kernel columnSums(String name, long rows, long columns, Argument... arguments) {
    return Kernel.of(name, Grid.of(blocks(columns, 32)), 256, 256 * Float.BYTES, withRun(arguments))
        .costing(0, Float.BYTES * (rows + 1) * columns);
  }

  /** Something for each of {@code count} elements, 256 threads a block; the run comes first. */
  static Kernel each(String name, long count, Argument... arguments) {
    return Kernel.of(name, Grid.of(blocks(count, 256)), 256, 0, withRun(arguments));
  }

  /** One step of a recurrent layer, c [batch, columns] over {@code depth}; the run comes first. */
  static Kernel step(String name, long batch, long columns, long depth, Argument... arguments) {
    Grid grid = Grid.of(blocks(batch, STEP_TILE), blocks(columns, STEP_TILE));
    return Kernel.of(name, grid, STEP_THREADS, STEP_SHARED, withRun(arguments))
        .costing(2 * batch * columns * depth, bytes(1, batch, columns, depth));
  }

  private static Kernel kernel(String name, Grid grid, int shared, Argument... arguments) {
    return Kernel.of(name, grid, THREADS, shared, withRun(arguments));
  }

  private static Argument[] withRun(Argument... arguments) {
    return Stream.concat(Stream.of(run()), Arrays.stream(arguments)).toArray(Argument[]::new);
  }

  /** Both operands and the result, once. */
  private static long bytes(long groups, long rows, long columns, long depth) {
    return Float.BYTES * (rows * depth + groups * depth * columns + rows * columns);
  }

  /** The products of experts over {@code slots} rows in all, each with its own weights. */
  record Grouped(long slots, long experts) {
    /** Blocks enough for the row tiles of any routing: see {@code perceptron.cuh}. */
    private long tiles() {
      return slots <= experts ? slots : experts + slots / TILE;
    }

    /** c [slots, columns] over {@code depth}. */
    Kernel rows(String name, long columns, long depth, Argument... arguments) {
      return rows(name, columns, depth, SHARED, arguments);
    }

    /** Likewise, with the gates of a tile's rows in shared memory. */
    Kernel gatedRows(String name, long columns, long depth, Argument... arguments) {
      return rows(name, columns, depth, SHARED + TILE * Float.BYTES, arguments);
    }

    private Kernel rows(String name, long columns, long depth, int shared, Argument... arguments) {
      Grid grid = Grid.of(tiles(), blocks(columns, TILE));
      return Kernel.of(name, grid, THREADS, shared, arguments)
          .costing(
              2 * slots * columns * depth, bytes(Math.min(slots, experts), slots, columns, depth));
    }

    /** The weights' gradients [experts outputs, inputs]; the run comes first. */
    Kernel weight(String name, long outputs, long inputs, Argument... arguments) {
      Grid grid = Grid.of(blocks(outputs, TILE), blocks(inputs, TILE), experts);
      return kernel(name, grid, SHARED, arguments)
          .costing(
              2 * slots * outputs * inputs,
              Float.BYTES * (slots * (outputs + inputs) + experts * outputs * inputs));
    }

    /** The parts of the gates' gradients, one for each tile of a hidden row: bytes. */
    long partBytes(long hidden) {
      return Float.BYTES * slots * blocks(hidden, TILE);
    }
  }
}
