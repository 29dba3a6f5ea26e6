package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.constant;
import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** The only, gated expert of a layer, without a gate: y = (silu(x·W1ᵀ) ⊙ x·W3ᵀ)·W2ᵀ. */
record SwigluFeedForwardOp(String layer, int tokens, int width, int hidden, Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("hidden", hidden));
  }

  @Override
  public List<Product> products(String method) {
    List<Product> first = Product.of(method, tokens, 1, width, hidden);
    return method.equals("recompute")
        ? Product.all(first, first)
        : Product.all(first, first, Product.of(method, tokens, 1, hidden, width));
  }

  @Override
  public String source() {
    return "swiglu";
  }

  @Override
  public List<Kernel> kernels(String method) {
    Products products = new Products(tile);
    Argument x = products.read("x", operand(0), tokens, width);
    if (method.equals("forward")) {
      return Kernel.all(
          products.rounding("forward_round", tokens, width, List.of(operand(0)), List.of(x)),
          List.of(
              products.dense(
                  "forward_hidden",
                  tokens,
                  2L * hidden,
                  width,
                  x,
                  operand(1),
                  operand(3),
                  operand(4),
                  operand(5),
                  operand(6)),
              products.dense(
                  "forward_output", tokens, width, hidden, operand(6), operand(2), operand(7))));
    }
    if (method.equals("recompute")) {
      return Kernel.all(
          products.rounding("forward_round", tokens, width, List.of(operand(0)), List.of(x)),
          List.of(
              products.dense(
                  "forward_hidden",
                  tokens,
                  2L * hidden,
                  width,
                  x,
                  operand(1),
                  operand(2),
                  operand(3),
                  operand(4),
                  constant(0))));
    }
    Argument dy = products.read("dy", operand(6), tokens, width);
    return Kernel.all(
        products.rounding(
            "backward_round", tokens, width, List.of(operand(0), operand(6)), List.of(x, dy)),
        List.of(
            products.dense(
                "backward_hidden",
                tokens,
                hidden,
                width,
                dy,
                operand(2),
                operand(4),
                operand(5),
                operand(8),
                operand(9),
                operand(7)),
            products.dense(
                "backward_input",
                tokens,
                width,
                2L * hidden,
                operand(8),
                operand(9),
                operand(1),
                operand(3),
                operand(10)),
            products.weight("backward_w1", tokens, hidden, width, operand(8), x, operand(11)),
            products.weight("backward_w1", tokens, hidden, width, operand(9), x, operand(13)),
            products.weight("backward_w2", tokens, width, hidden, dy, operand(7), operand(12))));
  }

  Call forward(
      Buffer x, SwigluExpertsOp.Weights w, SwigluExpertsOp.Hidden kept, Buffer hidden, Buffer y) {
    return Call.of(
        this,
        "forward",
        read(x),
        read(w.w1()),
        read(w.w2()),
        read(w.w3()),
        write(kept.u()),
        write(kept.v()),
        write(hidden),
        write(y));
  }

  /** What is kept of the hidden layer alone, as forward left it. */
  Call recompute(Buffer x, SwigluExpertsOp.Weights w, SwigluExpertsOp.Hidden kept) {
    return Call.of(
        this, "recompute", read(x), read(w.w1()), read(w.w3()), write(kept.u()), write(kept.v()));
  }

  Call backward(
      Buffer x,
      SwigluExpertsOp.Weights w,
      SwigluExpertsOp.Hidden kept,
      Buffer dy,
      Buffer hidden,
      SwigluExpertsOp.Hidden gradients,
      Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(w.w1()),
        read(w.w2()),
        read(w.w3()),
        read(kept.u()),
        read(kept.v()),
        read(dy),
        write(hidden),
        write(gradients.u()),
        write(gradients.v()),
        write(dx),
        write(w.w1().gradient()),
        write(w.w2().gradient()),
        write(w.w3().gradient()));
  }
}
