package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.model.MoE;
import java.util.List;

/** Each slot's expert: out = activation(x·W1ᵀ)·W2ᵀ. */
record ExpertsOp(String layer, int tokens, int width, MoE moe) implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("experts", moe.experts()),
        new Constant("k", moe.k()),
        new Constant("hidden", moe.expert().width()),
        new Constant("activation", activation()));
  }

  private ActivationFunction activation() {
    return moe.expert().activation();
  }

  @Override
  public long flops(String method) {
    return Op.forwardAndBackward(method, 2L * tokens * moe.k() * width * moe.expert().width());
  }

  @Override
  public double touched() {
    return Math.min(1.0, (double) tokens * moe.k() / moe.experts());
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
