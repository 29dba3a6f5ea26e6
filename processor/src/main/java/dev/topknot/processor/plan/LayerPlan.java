package dev.topknot.processor.plan;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A layer within a program.
 *
 * @param name the layer's name as ops and messages say it
 * @param title what it is, in a few words
 * @param locals the layer's own names of its buffers: {@code x}, {@code dx}, {@code gates}
 * @param output the buffer of its output, empty where it has none
 * @param backward empty unless the program is for training
 * @param commit calls that carry state over, once the step is known to be good
 * @param balance what its gate leaves to be read after a step, empty without a gate
 * @param routing where the choices of its gate stay, in the evaluation of a model only
 */
public record LayerPlan(
    String name,
    String title,
    Map<String, Buffer> locals,
    Optional<Buffer> output,
    List<Call> forward,
    List<Call> backward,
    List<Call> commit,
    Optional<BalanceSource> balance,
    Optional<RoutingSource> routing) {
  /** Methods that compute what a backward pass needs. */
  private static final Set<String> FORWARD = Set.of("forward", "recompute");

  /** Copies the calls; keeps the order of the locals. */
  public LayerPlan {
    locals = Collections.unmodifiableMap(new LinkedHashMap<>(locals));
    forward = List.copyOf(forward);
    backward = List.copyOf(backward);
    commit = List.copyOf(commit);
  }

  /** Its calls: forward, backward, commit. */
  public List<Call> calls() {
    return Stream.of(forward, backward, commit).flatMap(List::stream).toList();
  }

  /** The calls of the backward pass that compute again what the forward pass did not keep. */
  public List<Call> recomputed() {
    return backward.stream().filter(call -> FORWARD.contains(call.method())).toList();
  }

  /** What those calls leave for the rest of the backward pass. */
  public Set<Buffer> notKept() {
    Set<Buffer> notKept = operands(recomputed(), Operand.Access.WRITE);
    notKept.retainAll(operands(backward, Operand.Access.READ));
    return notKept;
  }

  private static Set<Buffer> operands(List<Call> calls, Operand.Access access) {
    return calls.stream()
        .flatMap(call -> call.operands().stream())
        .filter(operand -> operand.access() == access)
        .map(Operand::buffer)
        .collect(Collectors.toCollection(LinkedHashSet::new));
  }

  /** The layer's own name of a buffer. */
  public String local(Buffer buffer) {
    for (Map.Entry<String, Buffer> local : locals.entrySet()) {
      if (local.getValue().equals(buffer)) {
        return local.getKey();
      }
    }
    throw new IllegalArgumentException(buffer + " is not a buffer of layer " + name);
  }

  /** Where a gate's statistics are read after a step. */
  public record BalanceSource(Op gate, Buffer importance, Buffer load, Buffer offsets) {
    List<Buffer> buffers() {
      return List.of(importance, load, offsets);
    }
  }

  /** Where a gate's choices are read after a call: k experts of each token, and their gates. */
  public record RoutingSource(int k, Buffer chosen, Buffer gates) {
    /** The buffers that must stay as they are until then. */
    public List<Buffer> buffers() {
      return List.of(chosen, gates);
    }
  }
}
