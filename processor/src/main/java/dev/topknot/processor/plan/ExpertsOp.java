package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.model.MoE;
import java.util.List;

/** Each slot's expert: out = activation(x·W1ᵀ)·W2ᵀ. */
record ExpertsOp(String layer, int tokens, int width, MoE moe, Tile tile) implements ProductOp {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("experts", moe.experts()),
        new Constant("k", moe.k()),
        new Constant("hidden", moe.expert().width()),
        new Constant("activation", activation()));
  }

  private ActivationFunction activation() {
    return moe.expert().activation();
  }

  @Override
  public List<Product> products(String method) {
    long slots = (long) tokens * moe.k();
    int hidden = moe.expert().width();
    return Product.all(
        Product.ofExperts(method, slots, moe.experts(), width, hidden),
        Product.ofExperts(method, slots, moe.experts(), hidden, width));
  }

  @Override
  public double touched() {
    return Math.min(1.0, (double) tokens * moe.k() / moe.experts());
  }

  @Override
  public List<Kernel> kernels(String method) {
    long slots = (long) tokens * moe.k();
    int hidden = moe.expert().width();
    Products products = new Products(tile);
    Products.Grouped grouped = products.grouped(slots, moe.experts());
    Argument activated = scratch("activation", tile.keptBytes() * slots * hidden);
    Argument x = products.read("x", operand(0), tokens, width);
    if (method.equals("forward")) {
      Argument a =
          activation() == ActivationFunction.GELU || tile.keepsRounded() ? activated : operand(6);
      return Kernel.all(
          products.rounding("forward_round", tokens, width, List.of(operand(0)), List.of(x)),
          List.of(
              grouped.rows(
                  "forward_hidden",
                  hidden,
                  width,
                  x,
                  operand(1),
                  operand(2),
                  operand(3),
                  operand(6),
                  a),
              grouped.rows(
                  "forward_output",
                  width,
                  hidden,
                  a,
                  operand(1),
                  operand(2),
                  operand(4),
                  operand(7))));
    }
    Argument dy = products.read("dy", operand(1), tokens, width);
    Argument parts = scratch("parts", grouped.partBytes(hidden));
    return Kernel.all(
        products.rounding(
            "backward_round", tokens, width, List.of(operand(0), operand(1)), List.of(x, dy)),
        List.of(
            grouped.gatedRows(
                "backward_hidden",
                hidden,
                width,
                operand(2),
                operand(3),
                operand(4),
                operand(5),
                dy,
                operand(7),
                operand(8),
                operand(12),
                activated,
                parts),
            Products.each("backward_gates", slots, operand(4), parts, operand(9)),
            grouped.rows(
                "backward_input",
                width,
                hidden,
                operand(2),
                operand(3),
                operand(12),
                operand(6),
                operand(13)),
            grouped.weight(
                "backward_w1", hidden, width, operand(2), operand(3), operand(12), x, operand(14)),
            grouped.weight(
                "backward_w2", width, hidden, operand(2), operand(3), dy, activated, operand(15))));
  }

  Call forward(
      Buffer x, Routing routing, Weights weights, Buffer gathered, Buffer hidden, Buffer out) {
    return Call.of(
        this,
        "forward",
        read(x),
        read(routing.offsets()),
        read(routing.rows()),
        read(weights.w1),
        read(weights.w2),
        write(gathered),
        write(hidden),
        write(out));
  }

  Call backward(
      Buffer x,
      Buffer dy,
      Routing routing,
      Buffer gates,
      Weights weights,
      Buffer hidden,
      Buffer dGates,
      Scratch scratch,
      Buffer dOut) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(dy),
        read(routing.offsets()),
        read(routing.rows()),
        read(routing.slots()),
        read(gates),
        read(weights.w1),
        read(weights.w2),
        read(hidden),
        write(dGates),
        write(scratch.gathered),
        write(scratch.gatheredDy),
        write(scratch.dHidden),
        write(dOut),
        write(weights.w1.gradient()),
        write(weights.w2.gradient()));
  }

  /** W1 [n·h, d] and W2 [n·d, h]. */
  record Weights(Buffer w1, Buffer w2) {}

  /** Gathered rows of x and dy, [P, d] each, and the gradient of the hidden layer [P, h]. */
  record Scratch(Buffer gathered, Buffer gatheredDy, Buffer dHidden) {}
}
