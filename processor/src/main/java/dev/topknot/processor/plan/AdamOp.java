package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.constant;
import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Argument.slices;
import static dev.topknot.processor.plan.Operand.read;

import java.util.List;

/**
 * The norm of the gradients and Adam's update.
 *
 * @param floats of an arena
 * @param tensors of which the arena consists
 */
record AdamOp(long floats, long tensors) implements OptimizerOp {
  private static final int CHUNK = 16_384;
  private static final int THREADS = 256;

  static AdamOp of(Plan plan) {
    long tensors = plan.parameters().stream().mapToLong(Parameter::copies).sum();
    return new AdamOp(plan.parameterArena(), tensors);
  }

  @Override
  public List<Constant> constants() {
    return List.of(new Constant("size", floats));
  }

  @Override
  public List<Kernel> kernels(String method) {
    long chunks = Grid.blocks(floats, CHUNK);
    int shared = THREADS * Double.BYTES;
    Argument squares = scratch("squares", chunks * Double.BYTES);
    Argument count = constant(tensors);
    return switch (method) {
      case "norm" ->
          List.of(
              Kernel.of(
                  "norm_squares",
                  Grid.of(chunks),
                  THREADS,
                  shared,
                  run(),
                  operand(0),
                  slices(),
                  count,
                  squares),
              Kernel.of("norm_total", Grid.of(1), THREADS, shared, run(), squares)
                  .costing(0, chunks * Double.BYTES));
      case "update" ->
          List.of(
              Kernel.of(
                  "update_step",
                  Grid.of(chunks),
                  THREADS,
                  0,
                  run(),
                  operand(0),
                  operand(1),
                  operand(2),
                  operand(3),
                  slices(),
                  count));
      default -> List.of();
    };
  }

  @Override
  public List<Buffer> moments() {
    return List.of(
        arena("firstMoments", Region.FIRST_MOMENTS), arena("secondMoments", Region.SECOND_MOMENTS));
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
