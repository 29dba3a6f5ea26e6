package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** softmax(x·Wᵀ + b) and its cross-entropy with the targets. */
record SoftmaxLossOp(String layer, int tokens, int width, int vocabulary) implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("vocabulary", vocabulary));
  }

  @Override
  public long flops(String method) {
    return Op.forwardAndBackward(method, (long) tokens * width * vocabulary);
  }

  Call forward(Buffer x, Buffer weight, Buffer bias, Buffer targets, Buffer logits, Buffer losses) {
    return Call.of(
        this,
        "forward",
        read(x),
        read(weight),
        read(bias),
        read(targets),
        write(logits),
        write(losses));
  }

  Call backward(Buffer x, Buffer weight, Buffer bias, Buffer logits, Buffer targets, Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(weight),
        update(logits),
        read(targets),
        write(dx),
        write(weight.gradient()),
        write(bias.gradient()));
  }

  Call probabilities(Buffer x, Buffer weight, Buffer bias, Buffer logits) {
    return Call.of(this, "probabilities", read(x), read(weight), read(bias), write(logits));
  }
}
