package dev.topknot.runtime.cpu;

import dev.topknot.dsl.Optimizer;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Moment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The arenas of one instance. The parameters are shared with the instances for inference made from
 * it, and freed by the last one to close.
 */
final class CpuMemory implements AutoCloseable {
  private final Shared parameters;
  private final Arena gradients;
  private final Map<Moment, Arena> moments = new EnumMap<>(Moment.class);
  private final Deque<Arena> own = new ArrayDeque<>();

  private CpuMemory(Shared parameters, Layout layout, boolean gradients, Optimizer optimizer) {
    this.parameters = parameters;
    try {
      this.gradients = gradients ? allocate(layout.size()) : null;
      for (Moment moment : Moment.of(optimizer)) {
        moments.put(moment, allocate(moment.size(layout)));
      }
    } catch (Throwable t) {
      close();
      throw t;
    }
  }

  /** Memory with parameters of its own. */
  static CpuMemory training(Layout layout, Optimizer optimizer) {
    Arena arena = Arena.allocate(layout.size());
    return new CpuMemory(new Shared(arena), layout, true, optimizer);
  }

  /** Memory over the same parameters, without gradients or moments. */
  CpuMemory inference(Layout layout) {
    parameters.users.incrementAndGet();
    return new CpuMemory(parameters, layout, false, Optimizer.NONE);
  }

  CpuContext context(Cpu cpu, Options options, Layout layout) {
    return new CpuContext(cpu, options, layout, parameters.arena, gradients, moments, null, null);
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
