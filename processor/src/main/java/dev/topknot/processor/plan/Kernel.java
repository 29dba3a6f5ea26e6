package dev.topknot.processor.plan;

import dev.topknot.dsl.Precision;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A launch of a kernel, with constant shape.
 *
 * @param name what the op's macro appends to its prefix: {@code method_part}
 * @param threads of a block
 * @param sharedBytes dynamic shared memory of a block
 * @param precision what its products round their operands to
 * @param times how often it is launched; neighbours with the same number above 1 take turns, as the
 *     body of one loop
 * @param cost of one launch when every token is valid; where absent, only bytes count, each operand
 *     once
 */
public record Kernel(
    String name,
    Grid grid,
    int threads,
    int sharedBytes,
    List<Argument> arguments,
    Precision precision,
    int times,
    Optional<Cost> cost) {
  /** The most shared memory of a block that every device from sm_80 on has. */
  public static final int MOST_SHARED = 99 * 1024;

  /** Refuses what cannot be launched; copies the arguments. */
  public Kernel {
    arguments = List.copyOf(arguments);
    if (threads < 32 || threads > 1024 || threads % 32 != 0) {
      throw new IllegalArgumentException(name + " with blocks of " + threads + " threads");
    }
    if (sharedBytes < 0) {
      throw new IllegalArgumentException(name + " with " + sharedBytes + " bytes shared");
    }
    if (arguments.size() > Argument.MOST) {
      throw new IllegalArgumentException(name + " with " + arguments.size() + " arguments");
    }
    if (times < 1) {
      throw new IllegalArgumentException(name + ", " + times + " times");
    }
  }

  /** A kernel in fp32 that is launched once. */
  public static Kernel of(
      String name, Grid grid, int threads, int sharedBytes, Argument... arguments) {
    return new Kernel(
        name, grid, threads, sharedBytes, List.of(arguments), Precision.FP32, 1, Optional.empty());
  }

  /** A kernel with products of a tile that is launched once. */
  static Kernel of(String name, Grid grid, Tile tile, int sharedBytes, Argument... arguments) {
    return new Kernel(
        name,
        grid,
        tile.threads(),
        sharedBytes,
        List.of(arguments),
        tile.precision(),
        1,
        Optional.empty());
  }

  /** Launches, then others. */
  static List<Kernel> all(List<Kernel> first, List<Kernel> then) {
    return Stream.concat(first.stream(), then.stream()).toList();
  }

  /** What no device could launch, in words; absent where every device from sm_80 on can. */
  Optional<String> excess() {
    return sharedBytes <= MOST_SHARED
        ? grid.excess()
        : Optional.of(
            "%d bytes of shared memory in a block, above %d".formatted(sharedBytes, MOST_SHARED));
  }

  /** The same, launched this many times, such as once a time step; see {@link Argument#step}. */
  public Kernel repeated(int count) {
    return new Kernel(name, grid, threads, sharedBytes, arguments, precision, count, cost);
  }

  /** The same, with what one launch costs. */
  public Kernel costing(long flops, long bytes) {
    Optional<Cost> known = Optional.of(new Cost(flops, bytes));
    return new Kernel(name, grid, threads, sharedBytes, arguments, precision, times, known);
  }
}
