package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Grid.blocks;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/** Launches of the matrix products of {@code gemm.cuh} and of what belongs to them. */
record Products(Tile tile) {
  /** c [rows, columns] over {@code depth}; the run comes before the arguments. */
  Kernel dense(String name, long rows, long columns, long depth, Argument... arguments) {
    return kernel(name, tile.grid(rows, columns, 1), arguments)
        .costing(2 * rows * columns * depth, bytes(1, rows, columns, depth, tile.keptBytes()));
  }

  /** A weight's gradient [outputs, inputs] over {@code rows}; the run comes first. */
  Kernel weight(String name, long rows, long outputs, long inputs, Argument... arguments) {
    return kernel(name, tile.grid(outputs, inputs, 1), arguments)
        .costing(
            2 * rows * outputs * inputs,
            tile.keptBytes() * rows * (outputs + inputs) + Float.BYTES * outputs * inputs);
  }

  /**
   * A matrix over tokens as products read it: itself, or rounded in scratch memory by {@link
   * #rounding}.
   */
  Argument read(String name, Argument matrix, long tokens, long width) {
    return tile.keepsRounded() ? scratch(name, tile.keptBytes() * tokens * width) : matrix;
  }

  /** Rounds matrices over tokens for {@link #read}, if products want it, before other kernels. */
  List<Kernel> rounding(
      String name, long tokens, long width, List<Argument> from, List<Argument> to) {
    if (!tile.keepsRounded()) {
      return List.of();
    }
    Argument[] arguments = Stream.concat(from.stream(), to.stream()).toArray(Argument[]::new);
    long values = tokens * width;
    return List.of(
        Kernel.of(name, Grid.of(blocks(values, 1024), from.size()), 256, 0, withRun(arguments))
            .costing(0, values * from.size() * (Float.BYTES + tile.keptBytes())));
  }

  /** The products of experts over the rows of their slots, each with its own weights. */
  Grouped grouped(ExpertRange range) {
    return new Grouped(this, range);
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
    return new Products(Tile.STEP).dense(name, batch, columns, depth, arguments);
  }

  private Kernel kernel(String name, Grid grid, Argument... arguments) {
    return Kernel.of(name, grid, tile, tile.sharedBytes(), withRun(arguments));
  }

  /** The run before the arguments. */
  static Argument[] withRun(Argument... arguments) {
    return Stream.concat(Stream.of(run()), Arrays.stream(arguments)).toArray(Argument[]::new);
  }

  /** Rows, weights and the result, once. */
  private static long bytes(long groups, long rows, long columns, long depth, int ofRow) {
    return ofRow * rows * depth + Float.BYTES * (groups * depth * columns + rows * columns);
  }

  /** See {@link #grouped}. */
  record Grouped(Products products, ExpertRange range) {
    private Tile tile() {
      return products.tile;
    }

    private long experts() {
      return range.count();
    }

    /** Blocks enough for the row tiles of any routing: see {@code perceptron.cuh}. */
    long tiles() {
      long slots = range.slots();
      return slots <= experts() ? slots : experts() + slots / tile().rows();
    }

    /** c [slots, columns] over {@code depth}. */
    Kernel rows(String name, long columns, long depth, Argument... arguments) {
      return rows(name, columns, depth, tile().sharedBytes(), arguments);
    }

    /** Likewise, with the gates of a tile's rows in shared memory. */
    Kernel gatedRows(String name, long columns, long depth, Argument... arguments) {
      return rows(name, columns, depth, tile().gatedSharedBytes(), arguments);
    }

    private Kernel rows(String name, long columns, long depth, int shared, Argument... arguments) {
      Grid grid = Grid.of(tiles(), blocks(columns, tile().columns()));
      long rows = range.expectedSlots();
      return Kernel.of(name, grid, tile(), shared, arguments)
          .costing(
              2 * rows * columns * depth,
              bytes(Math.min(rows, experts()), rows, columns, depth, tile().keptBytes()));
    }

    /** The weights' gradients [experts outputs, inputs]; the run comes first. */
    Kernel weight(String name, long outputs, long inputs, Argument... arguments) {
      long rows = range.expectedSlots();
      return products
          .kernel(name, tile().weightGrid(outputs, inputs, experts()), arguments)
          .costing(
              2 * rows * outputs * inputs,
              tile().keptBytes() * rows * (outputs + inputs)
                  + Float.BYTES * experts() * outputs * inputs);
    }

    /** The parts of the gates' gradients, one for each tile of a hidden row: bytes. */
    long partBytes(long hidden) {
      return Float.BYTES * range.slots() * blocks(hidden, tile().columns());
    }
  }
}
