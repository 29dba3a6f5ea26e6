package dev.topknot.processor.plan;

import java.util.List;
import java.util.Optional;

/** The optimizer over whole arenas, the runtime's own on the CPU. */
sealed interface OptimizerOp extends Op permits AdamOp, AdamFactoredOp {
  /** The plan's optimizer; absent without one. */
  static Optional<OptimizerOp> of(Plan plan) {
    return switch (plan.spec().optimizer()) {
      case ADAM -> Optional.of(AdamOp.of(plan));
      case ADAM_FACTORED -> Optional.of(AdamFactoredOp.of(plan));
      case NONE -> Optional.empty();
    };
  }

  @Override
  default String layer() {
    return "";
  }

  /** What it keeps from step to step. */
  List<Buffer> moments();

  /** The global norm of the gradients. */
  Call norm();

  /** The update, which follows the norm of the same gradients. */
  Call update();

  /** A whole arena. */
  static Buffer arena(String name, Region region, long floats) {
    return new Buffer(name, region, 1, floats, false);
  }
}
