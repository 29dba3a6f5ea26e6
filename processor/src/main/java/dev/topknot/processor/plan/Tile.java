package dev.topknot.processor.plan;

import dev.topknot.dsl.Precision;

/**
 * A tile policy of the CUDA sources: how much of a product a block computes, and what it takes. The
 * numbers are those of {@code gemm.cuh}, {@code bf16_tile.cuh} and {@code wide_tile.cuh}.
 */
public enum Tile {
  /** 64 × 64 in fp32, two stages of both operands, [16, 64 + 4] each. */
  FP32("Fp32Tile", Precision.FP32, 64, 64, 256, 2 * 16 * 2 * (64 + 4) * Float.BYTES),

  /** 64 × 64 on tensor cores, two stages of both operands, [64, 32] of two bytes each. */
  BF16("Bf16Tile", Precision.BF16, 64, 64, 256, 2 * 2 * 64 * 32 * Short.BYTES),

  /**
   * 128 × 128 on tensor cores, four stages of both operands, [128, 32] of two bytes each, from a
   * multiple of 1024 bytes on; activations and their gradients are kept in bf16.
   */
  WIDE("WideTile", Precision.BF16, 128, 128, 256, 4 * 2 * 128 * 32 * Short.BYTES + 1024),

  /**
   * 128 × 128 on tensor cores, each operand in fp32 as the sum of two bf16, three stages of both;
   * for gates.
   */
  SPLIT("SplitTile", Precision.FP32, 128, 128, 256, 3 * 4 * 128 * 32 * Short.BYTES + 1024),

  /** 32 × 32 in fp32: the steps of a recurrent layer, two stages, [32, 32 + 4] each. */
  STEP("StepTile", Precision.FP32, 32, 32, 128, 2 * 32 * 2 * (32 + 4) * Float.BYTES);

  /** Blocks that keep a GPU busy many times over. */
  private static final long MANY_BLOCKS = 4096;

  /** Most tiles that a block has side by side. */
  private static final long MOST_ACROSS = 4;

  private final String policy;
  private final Precision precision;
  private final int rows;
  private final int columns;
  private final int threads;
  private final int sharedBytes;

  Tile(String policy, Precision precision, int rows, int columns, int threads, int sharedBytes) {
    this.policy = policy;
    this.precision = precision;
    this.rows = rows;
    this.columns = columns;
    this.threads = threads;
    this.sharedBytes = sharedBytes;
  }

  /** The tile of the products of layers whose operands have a precision. */
  public static Tile of(Precision precision) {
    return switch (precision) {
      case FP32 -> FP32;
      case BF16 -> BF16;
    };
  }

  /**
   * The tile for experts of a layer whose other products have this one: in bf16, the wide one where
   * its blocks are about filled.
   *
   * @param rows that an expert has on average
   */
  Tile forExperts(long rows, int width, int hidden) {
    boolean fits = rows >= WIDE.rows / 2 && width % 8 == 0 && hidden % 8 == 0;
    return this == BF16 && fits ? WIDE : this;
  }

  /** The tile of a gate in such a layer: fp32, which tensor cores only approach. */
  Tile forGate(long tokens, int experts) {
    return this == BF16 && tokens >= SPLIT.rows && experts >= SPLIT.columns ? SPLIT : FP32;
  }

  /** Its name in the CUDA sources. */
  public String policy() {
    return policy;
  }

  /** What operands are rounded to before they are multiplied. */
  public Precision precision() {
    return precision;
  }

  /** Rows of a product that a block computes. */
  public int rows() {
    return rows;
  }

  /** Columns of a product that a block computes. */
  public int columns() {
    return columns;
  }

  /** Whether what is no weight is kept in bf16 between products, and rounded before the first. */
  boolean keepsRounded() {
    return this == WIDE;
  }

  /** Bytes of a value that is kept between products. */
  int keptBytes() {
    return keepsRounded() ? Short.BYTES : Float.BYTES;
  }

  /** Threads of a block. */
  public int threads() {
    return threads;
  }

  /** Shared memory that the operands of a block take. */
  public int sharedBytes() {
    return sharedBytes;
  }

  /** Likewise, where the block keeps the gate of each of its rows too. */
  public int gatedSharedBytes() {
    return sharedBytes + rows * Float.BYTES;
  }

  /** The blocks of so many products [height, width]. */
  Grid grid(long height, long width, long products) {
    return Grid.of(Grid.blocks(height, rows), Grid.blocks(width, columns), products);
  }

  /**
   * The blocks of so many gradients of weights, products over few rows: on tensor cores, where
   * there are blocks enough, each has several tiles side by side, and loads for one while it writes
   * another.
   */
  Grid weightGrid(long height, long width, long products) {
    long across = Grid.blocks(width, columns);
    long tiles = Grid.blocks(height, rows) * across * products;
    long each = precision == Precision.BF16 ? Math.min(tiles / MANY_BLOCKS, MOST_ACROSS) : 1;
    return Grid.of(Grid.blocks(height, rows), Grid.blocks(across, Math.max(1, each)), products);
  }
}
