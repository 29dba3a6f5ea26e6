package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.constant;
import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.ActivationFunction;
import java.util.List;

/** Each slot's expert: out = activation(x·W1ᵀ)·W2ᵀ. */
record ExpertsOp(
    String layer,
    ExpertRange range,
    int width,
    int hidden,
    ActivationFunction activation,
    Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return range.constants(
        width, new Constant("hidden", hidden), new Constant("activation", activation));
  }

  @Override
  public List<Product> products(String method) {
    List<Product> first = range.products(method, width, hidden);
    return method.equals("recompute")
        ? first
        : Product.all(first, range.products(method, hidden, width));
  }

  @Override
  public double touched() {
    return range.touched();
  }

  @Override
  public double share() {
    return range.share();
  }

  @Override
  public String template() {
    return range.whole() ? "TOPKNOT_EXPERTS" : "TOPKNOT_EXPERTS_OF_KIND";
  }

  @Override
  public String source() {
    return "experts";
  }

  @Override
  public List<Kernel> kernels(String method) {
    long slots = range.slots();
    Argument offsets = range.offsets(method.equals("backward") ? 2 : 1);
    int tokens = range.tokens();
    Products products = new Products(tile);
    Products.Grouped grouped = products.grouped(range);
    Argument activated = scratch("activation", tile.keptBytes() * slots * hidden);
    Argument x = products.read("x", operand(0), tokens, width);
    boolean apart = ProductOp.slopeNeedsInput(activation) || tile.keepsRounded();
    if (method.equals("forward")) {
      Argument a = apart ? activated : operand(6);
      return Kernel.all(
          products.rounding("forward_round", tokens, width, List.of(operand(0)), List.of(x)),
          List.of(
              grouped.rows(
                  "forward_hidden",
                  hidden,
                  width,
                  x,
                  offsets,
                  operand(2),
                  operand(3),
                  operand(6),
                  a),
              grouped.rows(
                  "forward_output",
                  width,
                  hidden,
                  a,
                  offsets,
                  operand(2),
                  operand(4),
                  operand(7))));
    }
    if (method.equals("recompute")) {
      return Kernel.all(
          products.rounding("forward_round", tokens, width, List.of(operand(0)), List.of(x)),
          List.of(
              grouped.rows(
                  "forward_hidden",
                  hidden,
                  width,
                  x,
                  offsets,
                  operand(2),
                  operand(3),
                  operand(5),
                  apart ? constant(0) : operand(5))));
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
                offsets,
                operand(3),
                operand(4),
                operand(5),
                dy,
                operand(7),
                operand(8),
                operand(12),
                activated,
                parts),
            range.gateGradients(operand(4), parts, operand(9)),
            grouped.rows(
                "backward_input",
                width,
                hidden,
                offsets,
                operand(3),
                operand(12),
                operand(6),
                operand(13)),
            grouped.weight(
                "backward_w1", hidden, width, offsets, operand(3), operand(12), x, operand(14)),
            grouped.weight(
                "backward_w2", width, hidden, offsets, operand(3), dy, activated, operand(15))));
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

  /** The hidden layer alone, as forward left it. */
  Call recompute(Buffer x, Routing routing, Weights weights, Buffer gathered, Buffer hidden) {
    return Call.of(
        this,
        "recompute",
        read(x),
        read(routing.offsets()),
        read(routing.rows()),
        read(weights.w1),
        write(gathered),
        write(hidden));
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
