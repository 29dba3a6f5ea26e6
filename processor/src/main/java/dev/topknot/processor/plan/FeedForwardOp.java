package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.constant;
import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.ActivationFunction;
import java.util.List;

/** The only expert of a layer, without a gate: y = activation(x·W1ᵀ)·W2ᵀ. */
record FeedForwardOp(
    String layer, int tokens, int width, int hidden, ActivationFunction activation, Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("hidden", hidden),
        new Constant("activation", activation));
  }

  @Override
  public List<Product> products(String method) {
    List<Product> first = Product.of(method, tokens, 1, width, hidden);
    return method.equals("recompute")
        ? first
        : Product.all(first, Product.of(method, tokens, 1, hidden, width));
  }

  @Override
  public List<Kernel> kernels(String method) {
    Products products = new Products(tile);
    Argument activated = // where what is kept is not the activation
        ProductOp.slopeNeedsInput(activation) || tile.keepsRounded()
            ? scratch("activation", tile.keptBytes() * (long) tokens * hidden)
            : operand(3);
    Argument x = products.read("x", operand(0), tokens, width);
    if (method.equals("forward")) {
      return Kernel.all(
          products.rounding("forward_round", tokens, width, List.of(operand(0)), List.of(x)),
          List.of(
              products.dense(
                  "forward_hidden", tokens, hidden, width, x, operand(1), operand(3), activated),
              products.dense(
                  "forward_output", tokens, width, hidden, activated, operand(2), operand(4))));
    }
    if (method.equals("recompute")) {
      boolean apart = ProductOp.slopeNeedsInput(activation) || tile.keepsRounded();
      return Kernel.all(
          products.rounding("forward_round", tokens, width, List.of(operand(0)), List.of(x)),
          List.of(
              products.dense(
                  "forward_hidden",
                  tokens,
                  hidden,
                  width,
                  x,
                  operand(1),
                  operand(2),
                  apart ? constant(0) : operand(2))));
    }
    Argument dy = products.read("dy", operand(4), tokens, width);
    return Kernel.all(
        products.rounding(
            "backward_round", tokens, width, List.of(operand(0), operand(4)), List.of(x, dy)),
        List.of(
            products.dense(
                "backward_hidden",
                tokens,
                hidden,
                width,
                dy,
                operand(2),
                operand(3),
                operand(5),
                activated),
            products.dense(
                "backward_input", tokens, width, hidden, operand(5), operand(1), operand(6)),
            products.weight("backward_w1", tokens, hidden, width, operand(5), x, operand(7)),
            products.weight("backward_w2", tokens, width, hidden, dy, activated, operand(8))));
  }

  Call forward(Buffer x, Buffer w1, Buffer w2, Buffer hidden, Buffer y) {
    return Call.of(this, "forward", read(x), read(w1), read(w2), write(hidden), write(y));
  }

  /** The hidden layer alone, as forward left it. */
  Call recompute(Buffer x, Buffer w1, Buffer hidden) {
    return Call.of(this, "recompute", read(x), read(w1), write(hidden));
  }

  Call backward(
      Buffer x, Buffer w1, Buffer w2, Buffer hidden, Buffer dy, Buffer dHidden, Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(w1),
        read(w2),
        read(hidden),
        read(dy),
        write(dHidden),
        write(dx),
        write(w1.gradient()),
        write(w2.gradient()));
  }
}
