package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Argument.step;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** A long short-term memory over all time steps of a batch, gates in the order i, f, g, o. */
record LstmOp(String layer, int batch, int timesteps, int inputs, int units, Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("batch", batch),
        new Constant("timesteps", timesteps),
        new Constant("inputs", inputs),
        new Constant("units", units));
  }

  @Override
  public List<Product> products(String method) {
    long tokens = (long) batch * timesteps;
    List<Product> input = Product.of(method, tokens, 1, inputs, 4L * units);
    List<Product> recurrent = Product.of(method, tokens, 1, units, 4L * units);
    return Product.all(input, inSteps(recurrent, timesteps));
  }

  /** A step waits for the one before, but the gradient of the weights for the last one only. */
  static List<Product> inSteps(List<Product> products, int timesteps) {
    return products.stream()
        .map(it -> it.kind() == Product.Kind.WEIGHT_GRADIENT ? it : it.in(timesteps))
        .toList();
  }

  @Override
  public List<Kernel> kernels(String method) {
    Products products = new Products(tile);
    int tokens = Math.multiplyExact(batch, timesteps);
    long width = 4L * units;
    return switch (method) {
      case "forward" ->
          List.of(
              products.dense(
                  "forward_input",
                  tokens,
                  width,
                  inputs,
                  operand(0),
                  operand(1),
                  operand(3),
                  operand(6)),
              Products.step(
                      "forward_step",
                      batch,
                      width,
                      units,
                      operand(2),
                      operand(4),
                      operand(5),
                      operand(6),
                      operand(7),
                      operand(8),
                      step(0, 1))
                  .repeated(timesteps));
      case "backward" ->
          List.of(
              Products.step(
                      "backward_step",
                      batch,
                      units,
                      width,
                      operand(2),
                      operand(4),
                      operand(6),
                      operand(8),
                      operand(5),
                      scratch("cellGradient", Float.BYTES * (long) batch * units),
                      step(timesteps - 1, -1))
                  .repeated(timesteps),
              products.dense(
                  "backward_input", tokens, inputs, width, operand(5), operand(1), operand(9)),
              products.weight(
                  "backward_wx", tokens, width, inputs, operand(5), operand(0), operand(10)),
              products.weight(
                  "backward_wh",
                  tokens,
                  width,
                  units,
                  operand(5),
                  operand(3),
                  operand(7),
                  operand(11)),
              Products.columnSums("backward_bias", tokens, width, operand(5), operand(12)));
      default ->
          List.of(
              Products.each(
                  "commit_state",
                  (long) batch * units,
                  operand(0),
                  operand(1),
                  operand(2),
                  operand(3)));
    };
  }

  Call forward(Weights weights, Buffer x, State state, Kept kept) {
    return Call.of(
        this,
        "forward",
        read(x),
        read(weights.input),
        read(weights.recurrent),
        read(weights.bias),
        read(state.h0),
        read(state.c0),
        write(kept.gates),
        write(kept.cells),
        write(kept.h));
  }

  Call backward(Weights weights, Buffer x, State state, Kept kept, Buffer dh, Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(weights.input),
        read(weights.recurrent),
        read(state.h0),
        read(state.c0),
        update(kept.gates),
        read(kept.cells),
        read(kept.h),
        update(dh),
        write(dx),
        write(weights.input.gradient()),
        write(weights.recurrent.gradient()),
        write(weights.bias.gradient()));
  }

  Call commit(State state, Kept kept) {
    return Call.of(
        this, "commit", read(kept.cells), read(kept.h), update(state.h0), update(state.c0));
  }

  /** Input [4u, in], recurrent [4u, out] and bias [1, 4u]. */
  record Weights(Buffer input, Buffer recurrent, Buffer bias) {}

  /** The carried state, [batch, out] and [batch, u]. */
  record State(Buffer h0, Buffer c0) {}

  /** What the forward pass leaves: gates [T, 4u], cells [T, u] and the output h [T, out]. */
  record Kept(Buffer gates, Buffer cells, Buffer h) {}
}
