package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.ActivationFunction;
import java.util.List;

/** The only expert of a layer, without a gate: y = activation(x·W1ᵀ)·W2ᵀ. */
record FeedForwardOp(String layer, int tokens, int width, int hidden, ActivationFunction activation)
    implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("hidden", hidden),
        new Constant("activation", activation));
  }

  @Override
  public long flops(String method) {
    return Op.forwardAndBackward(method, 2L * tokens * width * hidden);
  }

  Call forward(Buffer x, Buffer w1, Buffer w2, Buffer hidden, Buffer y) {
    return Call.of(this, "forward", read(x), read(w1), read(w2), write(hidden), write(y));
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
