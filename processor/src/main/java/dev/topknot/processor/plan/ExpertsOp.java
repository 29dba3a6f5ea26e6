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
    Products.Grouped grouped = new Products(tile).grouped(range);
    Argument activated = scratch("activation", Float.BYTES * slots * hidden);
    if (method.equals("forward")) {
      Argument a = activation == ActivationFunction.GELU ? activated : operand(6);
      return List.of(
          grouped.rows(
              "forward_hidden",
              hidden,
              width,
              operand(0),
              offsets,
              operand(2),
              operand(3),
              operand(6),
              a),
          grouped.rows(
              "forward_output", width, hidden, a, offsets, operand(2), operand(4), operand(7)));
    }
    if (method.equals("recompute")) {
      return List.of(
          grouped.rows(
              "forward_hidden",
              hidden,
              width,
              operand(0),
              offsets,
              operand(2),
              operand(3),
              operand(5),
              activation == ActivationFunction.GELU ? constant(0) : operand(5)));
    }
    Argument parts = scratch("parts", grouped.partBytes(hidden));
    return List.of(
        grouped.gatedRows(
            "backward_hidden",
            hidden,
            width,
            offsets,
            operand(3),
            operand(4),
            operand(5),
            operand(1),
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
            "backward_w1",
            hidden,
            width,
            offsets,
            operand(3),
            operand(12),
            operand(0),
            operand(14)),
        grouped.weight(
            "backward_w2", width, hidden, offsets, operand(3), operand(1), activated, operand(15)));
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
