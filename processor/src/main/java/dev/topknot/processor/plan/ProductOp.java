package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.List;

/** An operation whose kernels multiply matrices, other than a gate. */
public interface ProductOp extends Op {
  /** The tile of its products. */
  Tile tile();

  @Override
  default List<Constant> traits() {
    List<Constant> traits = new ArrayList<>(Op.super.traits());
    traits.add(new Constant("tile", tile()));
    return traits;
  }
}
