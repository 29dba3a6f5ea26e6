package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import dev.topknot.dsl.ActivationFunction;
import java.util.List;

/** y = activation(x·Wᵀ + b); z is what the backward pass needs, often y itself. */
record DenseOp(String layer, int tokens, int inputs, int units, ActivationFunction activation)
    implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("inputs", inputs),
        new Constant("units", units),
        new Constant("activation", activation));
  }

  @Override
  public long flops(String method) {
    return Op.forwardAndBackward(method, (long) tokens * inputs * units);
  }

  /** Whether the derivative needs x·Wᵀ + b itself, not only the output. */
  boolean keepsPreActivation() {
    return activation == ActivationFunction.GELU;
  }

  Call forward(Buffer x, Buffer weight, Buffer bias, Buffer z, Buffer y) {
    return Call.of(this, "forward", read(x), read(weight), read(bias), write(z), write(y));
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
