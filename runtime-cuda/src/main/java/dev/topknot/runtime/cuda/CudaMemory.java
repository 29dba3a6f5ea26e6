package dev.topknot.runtime.cuda;

import dev.topknot.dsl.Optimizer;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Moment;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What one instance takes from its device: arenas, memory of the host, graphs and the module of its
 * kernels. Parameters and module are shared with the instances for inference made from it, and
 * freed by the last one to close.
 */
final class CudaMemory implements AutoCloseable {
  final Driver driver;
  private final Shared shared;
  private final CudaArena gradients;
  private final Map<Moment, CudaArena> moments = new EnumMap<>(Moment.class);
  private final Deque<AutoCloseable> own = new ArrayDeque<>();

  private CudaMemory(
      Driver driver, Shared shared, Layout layout, boolean gradients, Optimizer optimizer) {
    this.driver = driver;
    this.shared = shared;
    try {
      this.gradients = gradients ? zeros(layout.size()) : null;
      for (Moment moment : Moment.of(optimizer)) {
        moments.put(moment, zeros(moment.size(layout)));
      }
    } catch (Throwable t) {
      close();
      throw t;
    }
  }

  /** Memory with parameters of its own. */
  static CudaMemory training(Driver driver, Layout layout, Optimizer optimizer) {
    Shared shared = new Shared(driver, CudaArena.zeros(driver, layout.size()));
    return new CudaMemory(driver, shared, layout, true, optimizer);
  }

  /** Memory over the same parameters, without gradients or moments. */
  CudaMemory inference(Layout layout) {
    shared.users.incrementAndGet();
    return new CudaMemory(driver, shared, layout, false, Optimizer.NONE);
  }

  CudaArena parameters() {
    return shared.parameters;
  }

  /** Null in an instance for inference. */
  CudaArena gradients() {
    return gradients;
  }

  /** The moments that there are, of the instance's optimizer. */
  Map<Moment, CudaArena> moments() {
    return moments;
  }

  /** The module of the kernels, loaded for the first who asks. */
  long module(KernelSource source) {
    return shared.module(source);
  }

  /** More memory of any content, freed with the rest. */
  CudaArena allocate(long words) {
    return keep(CudaArena.allocate(driver, words));
  }

  /** More memory of zeros, freed with the rest. */
  CudaArena zeros(long words) {
    return keep(CudaArena.zeros(driver, words));
  }

  /** Memory of the host, freed with the rest. */
  ByteBuffer host(int bytes) {
    ByteBuffer buffer = driver.allocateHost(bytes);
    own.push(() -> driver.freeHost(buffer));
    return buffer;
  }

  /** A graph of some launches, forgotten with the rest. */
  long graph(Runnable launches) {
    long graph = driver.capture(launches);
    own.push(() -> driver.release(graph));
    return graph;
  }

  private CudaArena keep(CudaArena arena) {
    own.push(arena);
    return arena;
  }

  /** Frees everything, even if some of it cannot be freed any more. */
  @Override
  public void close() {
    CudaException failure = null;
    while (!own.isEmpty()) {
      failure = close(own.pop(), failure);
    }
    if (shared.users.decrementAndGet() == 0) {
      failure = close(shared::unload, failure);
      failure = close(shared.parameters, failure);
    }
    if (failure != null) {
      throw failure;
    }
  }

  private static CudaException close(AutoCloseable one, CudaException earlier) {
    try {
      one.close();
      return earlier;
    } catch (CudaException e) {
      return earlier == null ? e : earlier;
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  /** What several instances use, and how many they are. */
  private static final class Shared {
    private final Driver driver;
    private final CudaArena parameters;
    private final AtomicInteger users = new AtomicInteger(1);
    private Long module;

    Shared(Driver driver, CudaArena parameters) {
      this.driver = driver;
      this.parameters = parameters;
    }

    synchronized long module(KernelSource source) {
      if (module == null) {
        module = driver.load(source);
      }
      return module;
    }

    synchronized void unload() {
      if (module != null) {
        driver.unload(module);
        module = null;
      }
    }
  }
}
