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
        new Constant("places", moe.places()),
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
    Products.Grouped grouped = new Products(tile).grouped(slots, moe.experts());
    Argument activated = scratch("activation", Float.BYTES * slots * hidden);
    if (method.equals("forward")) {
      Argument a = activation() == ActivationFunction.GELU ? activated : operand(6);
      return List.of(
          grouped.rows(
              "forward_hidden",
              hidden,
              width,
              operand(0),
              operand(1),
              operand(2),
              operand(3),
              operand(6),
              a),
          grouped.rows(
              "forward_output", width, hidden, a, operand(1), operand(2), operand(4), operand(7)));
    }
    Argument parts = scratch("parts", grouped.partBytes(hidden));
    return List.of(
        grouped.gatedRows(
            "backward_hidden",
            hidden,
            width,
            operand(2),
            operand(3),
            operand(4),
            operand(5),
            operand(1),
            operand(7),
            operand(8),
            operand(12),
            activated,
            parts),
        Products.each(
            "backward_gates", (long) tokens * moe.places(), operand(4), parts, operand(9)),
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
            "backward_w1",
            hidden,
            width,
            operand(2),
            operand(3),
            operand(12),
            operand(0),
            operand(14)),
        grouped.weight(
            "backward_w2",
            width,
            hidden,
            operand(2),
            operand(3),
            operand(1),
            activated,
            operand(15)));
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
