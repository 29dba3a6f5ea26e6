package dev.topknot.processor.plan;

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
}
