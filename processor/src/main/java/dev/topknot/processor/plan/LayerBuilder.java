package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Collects the buffers and calls of one layer of one program. */
final class LayerBuilder {
  private final String name;
  private final String title;
  private final Map<String, Buffer> locals = new LinkedHashMap<>();
  private final List<Call> forward = new ArrayList<>();
  private final List<Call> backward = new ArrayList<>();
  private final List<Call> commit = new ArrayList<>();
  private Optional<Buffer> output = Optional.empty();
  private Optional<LayerPlan.BalanceSource> balance = Optional.empty();
  private Optional<LayerPlan.RoutingSource> routing = Optional.empty();

  LayerBuilder(String name, String title) {
    this.name = name;
    this.title = title;
  }

  /** Gives a buffer that exists already a name within this layer. */
  Buffer local(String local, Buffer buffer) {
    Buffer before = locals.putIfAbsent(local, buffer);
    if (before != null && !before.equals(buffer)) {
      throw new IllegalStateException(local + " is both " + before + " and " + buffer);
    }
    return buffer;
  }

  /** A new buffer of floats in the workspace. */
  Buffer work(String local, long rows, long columns) {
    return local(local, new Buffer(full(local), Region.WORKSPACE, rows, columns, false));
  }

  /** A new buffer of integers in the workspace. */
  Buffer integers(String local, long size) {
    return local(local, new Buffer(full(local), Region.WORKSPACE, 1, size, true));
  }

  /** A new buffer of carried state. */
  Buffer state(String local, long rows, long columns) {
    return local(local, new Buffer(full(local), Region.STATE, rows, columns, false));
  }

  /** A parameter by the name of its buffer, and its gradient if calls use it. */
  Buffer parameter(String local, Parameters.Slot slot) {
    return local(local, slot.buffer());
  }

  /** The buffer that was given this name. */
  Buffer buffer(String local) {
    return locals.get(local);
  }

  private String full(String local) {
    return name.isEmpty() ? local : name + "." + local;
  }

  void forward(Call call) {
    forward.add(withGradients(call));
  }

  void backward(Call call) {
    backward.add(withGradients(call));
  }

  void commit(Call call) {
    commit.add(call);
  }

  /** Names the gradients that a call writes after their parameters. */
  private Call withGradients(Call call) {
    for (Operand operand : call.operands()) {
      Buffer buffer = operand.buffer();
      if (buffer.region() == Region.GRADIENTS) {
        String parameter =
            locals.entrySet().stream()
                .filter(local -> local.getValue().gradient().equals(buffer))
                .filter(local -> local.getValue().region() == Region.PARAMETERS)
                .findFirst()
                .orElseThrow()
                .getKey();
        local(parameter + "Gradient", buffer);
      }
    }
    return call;
  }

  void output(Buffer buffer) {
    output = Optional.of(buffer);
  }

  void balance(LayerPlan.BalanceSource source) {
    balance = Optional.of(source);
  }

  void routing(LayerPlan.RoutingSource source) {
    routing = Optional.of(source);
  }

  LayerPlan build() {
    return new LayerPlan(name, title, locals, output, forward, backward, commit, balance, routing);
  }
}
