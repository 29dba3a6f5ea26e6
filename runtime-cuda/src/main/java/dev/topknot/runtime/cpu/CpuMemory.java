package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.program.Layout;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The arenas of one instance. The parameters are shared with the instances for inference made from
 * it, and freed by the last one to close.
 */
final class CpuMemory implements AutoCloseable {
  private final Shared parameters;
  private final Arena gradients;
  private final Arena firstMoments;
  private final Arena secondMoments;
  private final Deque<Arena> own = new ArrayDeque<>();

  private CpuMemory(Shared parameters, long size, boolean gradients, boolean moments) {
    this.parameters = parameters;
    try {
      this.gradients = gradients ? allocate(size) : null;
      this.firstMoments = moments ? allocate(size) : null;
      this.secondMoments = moments ? allocate(size) : null;
    } catch (Throwable t) {
      close();
      throw t;
    }
  }

  /** Memory with parameters of its own. */
  static CpuMemory training(Layout layout, boolean moments) {
    Arena arena = Arena.allocate(layout.size());
    return new CpuMemory(new Shared(arena), layout.size(), true, moments);
  }

  /** Memory over the same parameters, without gradients or moments. */
  CpuMemory inference() {
    parameters.users.incrementAndGet();
    return new CpuMemory(parameters, 0, false, false);
  }

  CpuContext context(Cpu cpu, Options options, Layout layout) {
    return new CpuContext(
        cpu, options, layout, parameters.arena, gradients, firstMoments, secondMoments, null, null);
  }

  /** More memory, freed with the rest. */
  Arena allocate(long floats) {
    Arena arena = Arena.allocate(floats);
    own.push(arena);
    return arena;
  }

  @Override
  public void close() {
    own.forEach(Arena::close);
    own.clear();
    if (parameters.users.decrementAndGet() == 0) {
      parameters.arena.close();
    }
  }

  /** Parameters and how many instances use them. */
  private static final class Shared {
    private final Arena arena;
    private final AtomicInteger users = new AtomicInteger(1);

    Shared(Arena arena) {
      this.arena = arena;
    }
  }
}
