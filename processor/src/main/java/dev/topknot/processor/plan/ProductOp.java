package dev.topknot.processor.plan;

import dev.topknot.dsl.ActivationFunction;
import java.util.ArrayList;
import java.util.List;

/** An operation whose kernels multiply matrices, other than a gate. */
public interface ProductOp extends Op {
  /** The tile of its products. */
  Tile tile();

  /** Whether a function's slope follows from its input only, not from its value. */
  static boolean slopeNeedsInput(ActivationFunction function) {
    return function == ActivationFunction.GELU;
  }

  @Override
  default List<Constant> traits() {
    List<Constant> traits = new ArrayList<>(Op.super.traits());
    traits.add(new Constant("tile", tile()));
    return traits;
  }
}
