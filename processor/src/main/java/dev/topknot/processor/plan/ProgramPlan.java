package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.List;

/**
 * One program of a spec.
 *
 * @param tokens the most tokens in one call
 * @param workspace buffers that share memory when their lifetimes allow
 * @param state buffers that are kept from call to call
 */
public record ProgramPlan(
    Program program, int tokens, List<LayerPlan> layers, Memory workspace, Memory state) {
  /** Copies the layers. */
  public ProgramPlan {
    layers = List.copyOf(layers);
  }

  /** Every call in the order of execution: forward, backward from the last layer on, commit. */
  public List<Call> calls() {
    return calls(layers);
  }

  static List<Call> calls(List<LayerPlan> layers) {
    List<Call> calls = new ArrayList<>();
    layers.forEach(layer -> calls.addAll(layer.forward()));
    for (int i = layers.size() - 1; i >= 0; i--) {
      calls.addAll(layers.get(i).backward());
    }
    layers.forEach(layer -> calls.addAll(layer.commit()));
    return calls;
  }
}
