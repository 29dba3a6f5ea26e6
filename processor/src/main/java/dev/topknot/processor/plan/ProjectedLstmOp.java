package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Argument.step;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/**
 * As {@link LstmOp}, with the output of every step projected: h = (o ⊙ tanh(c))·Wrᵀ, Wr
 * [projection, units].
 */
record ProjectedLstmOp(
    String layer, int batch, int timesteps, int inputs, int units, int projection, Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("batch", batch),
        new Constant("timesteps", timesteps),
        new Constant("inputs", inputs),
        new Constant("units", units),
        new Constant("projection", projection));
  }

  @Override
  public List<Product> products(String method) {
    long tokens = (long) batch * timesteps;
    List<Product> input = Product.of(method, tokens, 1, inputs, 4L * units);
    List<Product> recurrent = Product.of(method, tokens, 1, projection, 4L * units);
    List<Product> output = Product.of(method, tokens, 1, units, projection);
    return Product.all(
        input, LstmOp.inSteps(recurrent, timesteps), LstmOp.inSteps(output, timesteps));
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
                  operand(4),
                  operand(7)),
              Products.step(
                      "forward_step",
                      batch,
                      width,
                      projection,
                      operand(2),
                      operand(5),
                      operand(6),
                      operand(7),
                      operand(8),
                      operand(9),
                      operand(10),
                      step(0, 1))
                  .repeated(timesteps),
              Products.step(
                      "forward_projection",
                      batch,
                      projection,
                      units,
                      operand(3),
                      operand(9),
                      operand(10),
                      step(0, 1))
                  .repeated(timesteps));
      case "backward" ->
          List.of(
              Products.step(
                      "backward_output",
                      batch,
                      projection,
                      width,
                      operand(2),
                      operand(6),
                      operand(10),
                      step(timesteps - 1, -1))
                  .repeated(timesteps),
              Products.step(
                      "backward_step",
                      batch,
                      units,
                      projection,
                      operand(3),
                      operand(5),
                      operand(7),
                      operand(10),
                      operand(6),
                      scratch("cellGradient", Float.BYTES * (long) batch * units),
                      step(timesteps - 1, -1))
                  .repeated(timesteps),
              products.dense(
                  "backward_input", tokens, inputs, width, operand(6), operand(1), operand(11)),
              products.weight(
                  "backward_wx", tokens, width, inputs, operand(6), operand(0), operand(12)),
              products.weight(
                  "backward_wh",
                  tokens,
                  width,
                  projection,
                  operand(6),
                  operand(4),
                  operand(9),
                  operand(13)),
              products.weight(
                  "backward_wr", tokens, projection, units, operand(10), operand(8), operand(14)),
              Products.columnSums("backward_bias", tokens, width, operand(6), operand(15)));
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

  Call forward(
      LstmOp.Weights weights,
      Buffer projectionWeights,
      Buffer x,
      LstmOp.State state,
      LstmOp.Kept kept,
      Buffer cellOutputs) {
    return Call.of(
        this,
        "forward",
        read(x),
        read(weights.input()),
        read(weights.recurrent()),
        read(projectionWeights),
        read(weights.bias()),
        read(state.h0()),
        read(state.c0()),
        write(kept.gates()),
        write(kept.cells()),
        write(cellOutputs),
        write(kept.h()));
  }

  Call backward(
      LstmOp.Weights weights,
      Buffer projectionWeights,
      Buffer x,
      LstmOp.State state,
      LstmOp.Kept kept,
      Buffer cellOutputs,
      Buffer dh,
      Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(weights.input()),
        read(weights.recurrent()),
        read(projectionWeights),
        read(state.h0()),
        read(state.c0()),
        update(kept.gates()),
        read(kept.cells()),
        read(cellOutputs),
        read(kept.h()),
        update(dh),
        write(dx),
        write(weights.input().gradient()),
        write(weights.recurrent().gradient()),
        write(projectionWeights.gradient()),
        write(weights.bias().gradient()));
  }

  Call commit(LstmOp.State state, LstmOp.Kept kept) {
    return Call.of(
        this, "commit", read(kept.cells()), read(kept.h()), update(state.h0()), update(state.c0()));
  }
}
