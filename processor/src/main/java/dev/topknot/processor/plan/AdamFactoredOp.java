package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.constant;
import static dev.topknot.processor.plan.Argument.matrices;
import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Argument.slices;
import static dev.topknot.processor.plan.Operand.read;

import java.util.List;

/**
 * The norm of the gradients and the update of Adam with a factored second moment. On a GPU a block
 * takes a tile of one matrix; the norm leaves each tile's sums over its rows and columns to the
 * update, so that gradients are read twice.
 *
 * @param floats of the arenas of parameters and gradients
 * @param entries of which the arena consists, each of equal matrices
 * @param tensors of which the arena consists
 * @param rows of all matrices
 * @param columns of all matrices
 * @param tiles of all matrices
 * @param rowSums of all tiles, over their rows
 * @param columnSums of all tiles, over their columns
 */
record AdamFactoredOp(
    long floats,
    long entries,
    long tensors,
    long rows,
    long columns,
    long tiles,
    long rowSums,
    long columnSums)
    implements OptimizerOp {
  private static final int TILE_ROWS = 256;
  private static final int TILE_COLUMNS = 512;
  private static final int THREADS = 256;

  static AdamFactoredOp of(Plan plan) {
    long tensors = 0;
    long rows = 0;
    long columns = 0;
    long tiles = 0;
    long rowSums = 0;
    long columnSums = 0;
    for (Parameter parameter : plan.parameters()) {
      long copies = parameter.copies();
      long down = Grid.blocks(parameter.rows(), TILE_ROWS);
      long across = Grid.blocks(parameter.columns(), TILE_COLUMNS);
      tensors += copies;
      rows += copies * parameter.rows();
      columns += copies * parameter.columns();
      tiles += copies * down * across;
      rowSums += copies * across * parameter.rows();
      columnSums += copies * down * parameter.columns();
    }
    return new AdamFactoredOp(
        plan.parameterArena(),
        plan.parameters().size(),
        tensors,
        rows,
        columns,
        tiles,
        rowSums,
        columnSums);
  }

  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("rows", rows), new Constant("columns", columns), new Constant("tiles", tiles));
  }

  @Override
  public List<Kernel> kernels(String method) {
    int shared = THREADS * Double.BYTES;
    Argument table = matrices(TILE_ROWS, TILE_COLUMNS);
    Argument ofRows = scratch("rowSums", rowSums * Double.BYTES);
    Argument ofColumns = scratch("columnSums", columnSums * Double.BYTES);
    Argument squares = scratch("squares", tiles * Double.BYTES);
    long bytesOfSums = (rowSums + columnSums) * Double.BYTES;
    long bytesOfMeans = 2 * (rows + columns) * Buffer.ELEMENT_BYTES;
    return switch (method) {
      case "norm" ->
          List.of(
              Kernel.of(
                      "norm_sums",
                      Grid.of(tiles),
                      THREADS,
                      THREADS / 32 * TILE_COLUMNS * Double.BYTES,
                      run(),
                      operand(0),
                      table,
                      constant(entries),
                      slices(),
                      constant(tensors),
                      ofRows,
                      ofColumns,
                      squares)
                  .costing(0, floats * Buffer.ELEMENT_BYTES + bytesOfSums),
              Kernel.of("norm_total", Grid.of(1), THREADS, shared, run(), squares)
                  .costing(0, tiles * Double.BYTES));
      case "update" ->
          List.of(
              Kernel.of(
                      "update_means",
                      Grid.of(Grid.blocks(rows + columns, THREADS)),
                      THREADS,
                      0,
                      run(),
                      operand(2),
                      operand(3),
                      table,
                      constant(entries),
                      slices(),
                      constant(tensors),
                      ofRows,
                      ofColumns)
                  .costing(0, bytesOfSums + bytesOfMeans),
              Kernel.of(
                      "update_step",
                      Grid.of(tiles),
                      THREADS,
                      shared,
                      run(),
                      operand(0),
                      operand(1),
                      operand(2),
                      operand(3),
                      table,
                      constant(entries),
                      slices(),
                      constant(tensors))
                  .costing(0, 3 * floats * Buffer.ELEMENT_BYTES));
      default -> List.of();
    };
  }

  @Override
  public List<Buffer> moments() {
    return List.of(
        OptimizerOp.arena("rowMeans", Region.ROW_MEANS, rows),
        OptimizerOp.arena("columnMeans", Region.COLUMN_MEANS, columns));
  }

  @Override
  public Call norm() {
    return Call.of(this, "norm", read(arena("gradients", Region.GRADIENTS)));
  }

  @Override
  public Call update() {
    return Call.of(
        this,
        "update",
        Operand.update(arena("parameters", Region.PARAMETERS)),
        read(arena("gradients", Region.GRADIENTS)),
        Operand.update(moments().get(0)),
        Operand.update(moments().get(1)));
  }

  private Buffer arena(String name, Region region) {
    return OptimizerOp.arena(name, region, floats);
  }
}
