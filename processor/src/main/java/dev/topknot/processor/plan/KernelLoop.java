package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Kernels that are launched in turn, over and over.
 *
 * @param times how often
 * @param step the parameter that counts, if there is one
 */
public record KernelLoop(int times, Optional<Argument.Step> step, List<Kernel> kernels) {
  /** Copies the kernels. */
  public KernelLoop {
    kernels = List.copyOf(kernels);
  }

  /**
   * The loops of a call: a kernel that is launched once is a loop of its own, neighbours that are
   * launched equally often are one.
   *
   * @throws IllegalArgumentException if the kernels of one loop count differently
   */
  public static List<KernelLoop> of(List<Kernel> kernels) {
    List<KernelLoop> loops = new ArrayList<>();
    List<Kernel> body = new ArrayList<>();
    for (Kernel kernel : kernels) {
      if (!body.isEmpty() && (kernel.times() == 1 || kernel.times() != body.get(0).times())) {
        loops.add(loop(body));
        body.clear();
      }
      body.add(kernel);
    }
    if (!body.isEmpty()) {
      loops.add(loop(body));
    }
    return loops;
  }

  private static KernelLoop loop(List<Kernel> body) {
    List<Argument.Step> steps =
        body.stream()
            .flatMap(kernel -> kernel.arguments().stream())
            .filter(Argument.Step.class::isInstance)
            .map(Argument.Step.class::cast)
            .distinct()
            .toList();
    if (steps.size() > 1) {
      throw new IllegalArgumentException("kernels of one loop count differently: " + steps);
    }
    return new KernelLoop(body.get(0).times(), steps.stream().findFirst(), body);
  }
}
