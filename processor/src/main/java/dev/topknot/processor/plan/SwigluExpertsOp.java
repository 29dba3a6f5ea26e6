package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.constant;
import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** Each slot's gated expert: out = (silu(u) ⊙ v)·W2ᵀ with u = x·W1ᵀ and v = x·W3ᵀ. */
record SwigluExpertsOp(String layer, ExpertRange range, int width, int hidden, Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return range.constants(width, new Constant("hidden", hidden));
  }

  @Override
  public List<Product> products(String method) {
    List<Product> first = range.products(method, width, hidden);
    return method.equals("recompute")
        ? Product.all(first, first)
        : Product.all(first, first, range.products(method, hidden, width));
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
    return range.whole() ? "TOPKNOT_SWIGLU_EXPERTS" : "TOPKNOT_SWIGLU_EXPERTS_OF_KIND";
  }

  @Override
  public String source() {
    return "swiglu";
  }

  @Override
  public List<Kernel> kernels(String method) {
    Argument offsets = range.offsets(method.equals("backward") ? 2 : 1);
    int tokens = range.tokens();
    Products products = new Products(tile);
    Products.Grouped grouped = products.grouped(range);
    Argument x = products.read("x", operand(0), tokens, width);
    if (method.equals("forward")) {
      return Kernel.all(
          products.rounding("forward_round", tokens, width, List.of(operand(0)), List.of(x)),
          List.of(
              grouped.rows(
                  "forward_hidden",
                  2L * hidden,
                  width,
                  x,
                  offsets,
                  operand(2),
                  operand(3),
                  operand(5),
                  operand(7),
                  operand(8),
                  operand(9)),
              grouped.rows(
                  "forward_output",
                  width,
                  hidden,
                  operand(9),
                  offsets,
                  operand(2),
                  operand(4),
                  operand(10))));
    }
    if (method.equals("recompute")) {
      return Kernel.all(
          products.rounding("forward_round", tokens, width, List.of(operand(0)), List.of(x)),
          List.of(
              grouped.rows(
                  "forward_hidden",
                  2L * hidden,
                  width,
                  x,
                  offsets,
                  operand(2),
                  operand(3),
                  operand(4),
                  operand(6),
                  operand(7),
                  constant(0))));
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
                operand(9),
                operand(10),
                operand(15),
                operand(16),
                operand(14),
                parts),
            range.gateGradients(operand(4), parts, operand(11)),
            grouped.rows(
                "backward_input",
                width,
                2L * hidden,
                offsets,
                operand(3),
                operand(15),
                operand(16),
                operand(6),
                operand(8),
                operand(17)),
            grouped.weight(
                "backward_w1", hidden, width, offsets, operand(3), operand(15), x, operand(18)),
            grouped.weight(
                "backward_w1", hidden, width, offsets, operand(3), operand(16), x, operand(20)),
            grouped.weight(
                "backward_w2", width, hidden, offsets, operand(3), dy, operand(14), operand(19))));
  }

  Call forward(
      Buffer x,
      Routing routing,
      Weights weights,
      Buffer gathered,
      Hidden kept,
      Buffer hidden,
      Buffer out) {
    return Call.of(
        this,
        "forward",
        read(x),
        read(routing.offsets()),
        read(routing.rows()),
        read(weights.w1),
        read(weights.w2),
        read(weights.w3),
        write(gathered),
        write(kept.u),
        write(kept.v),
        write(hidden),
        write(out));
  }

  /** What is kept of the hidden layer alone, as forward left it. */
  Call recompute(Buffer x, Routing routing, Weights weights, Buffer gathered, Hidden kept) {
    return Call.of(
        this,
        "recompute",
        read(x),
        read(routing.offsets()),
        read(routing.rows()),
        read(weights.w1),
        read(weights.w3),
        write(gathered),
        write(kept.u),
        write(kept.v));
  }

  Call backward(
      Buffer x,
      Buffer dy,
      Routing routing,
      Buffer gates,
      Weights weights,
      Hidden kept,
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
        read(weights.w3),
        read(kept.u),
        read(kept.v),
        write(dGates),
        write(scratch.gathered),
        write(scratch.gatheredDy),
        write(scratch.hidden),
        write(scratch.gradients.u),
        write(scratch.gradients.v),
        write(dOut),
        write(weights.w1.gradient()),
        write(weights.w2.gradient()),
        write(weights.w3.gradient()));
  }

  /** W1 [n·h, d], W2 [n·d, h] and W3 [n·h, d]. */
  record Weights(Buffer w1, Buffer w2, Buffer w3) {}

  /** u and v, [P, h] each. */
  record Hidden(Buffer u, Buffer v) {}

  /** Gathered rows of x and dy [P, d], the product [P, h] and the gradients of u and v. */
  record Scratch(Buffer gathered, Buffer gatheredDy, Buffer hidden, Hidden gradients) {}
}
