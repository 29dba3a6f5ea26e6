package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.ActivationFunction;
import java.util.ArrayList;
import java.util.List;

/** What follows the last hidden layer of experts that have several, in each slot: out = a·Wᵀ. */
record ExpertsOutputOp(String layer, ExpertRange range, int width, int hidden, Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return range.constants(width, new Constant("hidden", hidden));
  }

  /** With the function that its kernels, those of experts, apply to its input. */
  @Override
  public List<Constant> traits() {
    List<Constant> traits = new ArrayList<>(ProductOp.super.traits());
    traits.add(new Constant("activation", ActivationFunction.IDENTITY));
    return traits;
  }

  @Override
  public List<Product> products(String method) {
    return range.products(method, hidden, width);
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
    return range.whole() ? "TOPKNOT_EXPERTS_OUTPUT" : "TOPKNOT_EXPERTS_OUTPUT_OF_KIND";
  }

  @Override
  public String source() {
    return "deep_experts";
  }

  @Override
  public List<Kernel> kernels(String method) {
    Products.Grouped grouped = new Products(tile).grouped(range);
    if (method.equals("forward")) {
      return List.of(
          grouped.rows(
              "forward_output",
              width,
              hidden,
              operand(0),
              range.offsets(1),
              operand(2),
              operand(3),
              operand(4)));
    }
    Argument offsets = range.offsets(2);
    Argument weighted = scratch("weighted", Float.BYTES * range.slots() * hidden);
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
            operand(6),
            operand(0),
            operand(9),
            weighted,
            parts),
        range.gateGradients(operand(4), parts, operand(7)),
        grouped.weight(
            "backward_weight",
            width,
            hidden,
            offsets,
            operand(3),
            operand(1),
            weighted,
            operand(10)));
  }

  Call forward(Buffer a, Routing routing, Buffer w, Buffer out) {
    return Call.of(
        this,
        "forward",
        read(a),
        read(routing.offsets()),
        read(routing.rows()),
        read(w),
        write(out));
  }

  Call backward(
      Buffer a,
      Buffer dy,
      Routing routing,
      Buffer gates,
      Buffer w,
      Buffer dGates,
      Buffer gatheredDy,
      Buffer da) {
    return Call.of(
        this,
        "backward",
        read(a),
        read(dy),
        read(routing.offsets()),
        read(routing.rows()),
        read(routing.slots()),
        read(gates),
        read(w),
        write(dGates),
        write(gatheredDy),
        write(da),
        write(w.gradient()));
  }
}
