package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.constant;
import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.ActivationFunction;
import java.util.ArrayList;
import java.util.List;

/**
 * y = activation(x·Wᵀ + b); z is what the backward pass needs, often y itself.
 *
 * @param biased whether there is b
 */
record DenseOp(
    String layer,
    int tokens,
    int inputs,
    int units,
    ActivationFunction activation,
    boolean biased,
    Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("inputs", inputs),
        new Constant("units", units),
        new Constant("activation", activation));
  }

  @Override
  public List<Product> products(String method) {
    return Product.of(method, tokens, 1, inputs, units);
  }

  @Override
  public List<Kernel> kernels(String method) {
    Products products = new Products(tile);
    if (method.equals("forward")) {
      return List.of(
          products.dense(
              "forward_output",
              tokens,
              units,
              inputs,
              operand(0),
              operand(1),
              biased ? operand(2) : constant(0),
              operand(biased ? 3 : 2),
              operand(biased ? 4 : 3)));
    }
    List<Kernel> kernels = new ArrayList<>();
    if (activation != ActivationFunction.IDENTITY) {
      long fours = Grid.blocks((long) tokens * units, 4);
      kernels.add(Products.each("backward_slope", fours, operand(2), operand(3)));
    }
    kernels.add(
        products.dense(
            "backward_input", tokens, inputs, units, operand(3), operand(1), operand(4)));
    kernels.add(
        products.weight(
            "backward_weight", tokens, units, inputs, operand(3), operand(0), operand(5)));
    if (biased) {
      kernels.add(Products.columnSums("backward_bias", tokens, units, operand(3), operand(6)));
    }
    return kernels;
  }

  /** Whether the derivative needs x·Wᵀ + b itself, not only the output. */
  boolean keepsPreActivation() {
    return ProductOp.slopeNeedsInput(activation);
  }

  Call forward(Buffer x, Buffer weight, Buffer bias, Buffer z, Buffer y) {
    return Call.of(this, "forward", read(x), read(weight), read(bias), write(z), write(y));
  }

  /** Without a bias. */
  Call forward(Buffer x, Buffer weight, Buffer z, Buffer y) {
    return Call.of(this, "forward", read(x), read(weight), write(z), write(y));
  }

  /** Without a bias. */
  Call backward(Buffer x, Buffer weight, Buffer z, Buffer dy, Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(weight),
        read(z),
        activation == ActivationFunction.IDENTITY ? read(dy) : update(dy),
        write(dx),
        write(weight.gradient()));
  }

  Call backward(Buffer x, Buffer weight, Buffer bias, Buffer z, Buffer dy, Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(weight),
        read(z),
        update(dy),
        write(dx),
        write(weight.gradient()),
        write(bias.gradient()));
  }
}
