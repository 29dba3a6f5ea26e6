package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.ActivationFunction;
import java.util.ArrayList;
import java.util.List;

/**
 * A hidden layer of experts that have several, in each slot: a = activation(in·Wᵀ); z is what the
 * backward pass needs, often a itself.
 *
 * @param width of its input
 * @param gathers whether its input is the tokens', as that of the first hidden layer; else it is
 *     the slots'
 */
record ExpertsHiddenOp(
    String layer,
    ExpertRange range,
    int width,
    int hidden,
    ActivationFunction activation,
    boolean gathers,
    Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return range.constants(
        width,
        new Constant("hidden", hidden),
        new Constant("activation", activation),
        new Constant("gathers", gathers));
  }

  @Override
  public List<Product> products(String method) {
    return range.products(method, width, hidden);
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
  public String source() {
    return "deep_experts";
  }

  @Override
  public List<Kernel> kernels(String method) {
    Products.Grouped grouped = new Products(tile).grouped(range);
    Argument offsets = range.offsets(1);
    if (method.equals("forward")) {
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
              operand(6)));
    }
    List<Kernel> kernels = new ArrayList<>();
    if (activation != ActivationFunction.IDENTITY) {
      long fours = Grid.blocks(range.slots() * hidden, 4);
      kernels.add(Products.each("backward_slope", fours, offsets, operand(4), operand(5)));
    }
    kernels.add(
        grouped.rows("backward_input", width, hidden, offsets, operand(5), operand(3), operand(7)));
    kernels.add(
        grouped.weight(
            "backward_weight",
            hidden,
            width,
            offsets,
            operand(2),
            operand(5),
            operand(0),
            operand(8)));
    return kernels;
  }

  /** Whether the derivative needs in·Wᵀ itself, not only the activation. */
  boolean keepsPreActivation() {
    return ProductOp.slopeNeedsInput(activation);
  }

  private Operand rowsOf(Buffer gathered) {
    return gathers ? write(gathered) : read(gathered);
  }

  /** Where the input is the slots', it is also what is gathered. */
  Call forward(Buffer in, Routing routing, Buffer w, Buffer gathered, Buffer z, Buffer a) {
    return Call.of(
        this,
        "forward",
        read(in),
        read(routing.offsets()),
        read(routing.rows()),
        read(w),
        rowsOf(gathered),
        write(z),
        write(a));
  }

  Call backward(
      Buffer in, Routing routing, Buffer w, Buffer z, Buffer da, Buffer gathered, Buffer dIn) {
    return Call.of(
        this,
        "backward",
        read(in),
        read(routing.offsets()),
        read(routing.rows()),
        read(w),
        read(z),
        update(da),
        rowsOf(gathered),
        write(dIn),
        write(w.gradient()));
  }
}
