package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What a GPU runs: the calls of the layers, and those that the runtime makes by itself on the CPU,
 * where they need no kernels: the sum of the losses, the norm of the gradients, the update.
 */
public final class DeviceCalls {
  private DeviceCalls() {}

  /** The calls of a layer's forward pass. */
  public static List<Call> forward(LayerPlan layer) {
    List<Call> calls = new ArrayList<>();
    for (Call call : layer.forward()) {
      calls.add(call);
      if (losesTokens(call)) {
        Buffer losses = call.result();
        calls.add(new LossOp(call.op().layer(), Math.toIntExact(losses.size())).forward(losses));
      }
    }
    return calls;
  }

  /** Whether a call leaves the loss of each token. */
  private static boolean losesTokens(Call call) {
    return call.method().equals("forward")
        && (call.op() instanceof SoftmaxLossOp || call.op() instanceof SampledSoftmaxLossOp);
  }

  /** The norm of the gradients; none without an optimizer. */
  public static List<Call> norm(Plan plan) {
    return OptimizerOp.of(plan).map(OptimizerOp::norm).stream().toList();
  }

  /** The update of the parameters; none without an optimizer. */
  public static List<Call> update(Plan plan) {
    return OptimizerOp.of(plan).map(OptimizerOp::update).stream().toList();
  }

  /** All calls of a program in the order of execution. */
  public static List<Call> all(Plan plan, ProgramPlan program) {
    List<Call> calls = new ArrayList<>();
    List<LayerPlan> layers = program.layers();
    layers.forEach(layer -> calls.addAll(forward(layer)));
    for (int i = layers.size() - 1; i >= 0; i--) {
      calls.addAll(layers.get(i).backward());
    }
    if (program.program() == Program.TRAIN) {
      calls.addAll(norm(plan));
      calls.addAll(update(plan));
    }
    layers.forEach(layer -> calls.addAll(layer.commit()));
    return calls;
  }

  /** Whether every call of every program has kernels that can be launched: it runs on a GPU. */
  public static boolean complete(Plan plan) {
    return calls(plan).noneMatch(call -> call.kernels().isEmpty()) && excess(plan).isEmpty();
  }

  /**
   * What keeps a plan from running on a GPU although there are kernels: the first launch that is
   * too large, in words.
   */
  public static Optional<String> excess(Plan plan) {
    return calls(plan)
        .flatMap(
            call ->
                call.kernels().stream()
                    .flatMap(
                        kernel ->
                            kernel.excess().stream()
                                .map(
                                    it ->
                                        "%s.%s would take %s"
                                            .formatted(call.op().type(), kernel.name(), it))))
        .findFirst();
  }

  private static Stream<Call> calls(Plan plan) {
    return plan.programs().stream().flatMap(program -> all(plan, program).stream());
  }

  /** The scratch memory of a program's largest call, in elements. */
  public static long scratch(Plan plan, ProgramPlan program) {
    return all(plan, program).stream()
        .mapToLong(call -> CallScratch.of(call.kernels()).size())
        .max()
        .orElse(0);
  }
}
