package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/** A long short-term memory over all time steps of a batch, gates in the order i, f, g, o. */
record LstmOp(String layer, int batch, int timesteps, int inputs, int units) implements Op {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("batch", batch),
        new Constant("timesteps", timesteps),
        new Constant("inputs", inputs),
        new Constant("units", units));
  }

  @Override
  public long flops(String method) {
    return Op.forwardAndBackward(method, (long) batch * timesteps * (inputs + units) * 4 * units);
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

  /** Input [4u, in], recurrent [4u, u] and bias [1, 4u]. */
  record Weights(Buffer input, Buffer recurrent, Buffer bias) {}

  /** The carried state, [batch, u] each. */
  record State(Buffer h0, Buffer c0) {}

  /** What the forward pass leaves: gates [T, 4u], cells [T, u] and the output h [T, u]. */
  record Kept(Buffer gates, Buffer cells, Buffer h) {}
}
