package dev.topknot.it.cuda;

import com.sun.jna.Native;
import com.sun.jna.Pointer;
import dev.topknot.runtime.cuda.CudaException;
import dev.topknot.runtime.cuda.Driver;
import dev.topknot.runtime.cuda.KernelSource;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * A device whose kernels run on the emulator. As on a GPU nothing happens before somebody waits for
 * it: what is written from a buffer of the host is what the buffer holds then.
 */
public final class EmulatedDriver implements Driver {
  private static final Properties PROPERTIES =
      new Properties("CUDA emulator", 8, 0, 1, 4L << 30, 99 << 10);
  private static final int POISON = 0xFFE5FFE5; // as the emulator's: NaN, and no index

  private final Consumer<Emulator> configuration;
  private final Emulator memory;
  private final Map<Long, Emulator> modules = new HashMap<>();
  private final Map<Long, Kernel> kernels = new HashMap<>();
  private final Map<Long, List<Runnable>> graphs = new HashMap<>();
  private final Set<ByteBuffer> hostBlocks = Collections.newSetFromMap(new IdentityHashMap<>());
  private final NavigableMap<Long, Long> allocations = new TreeMap<>();
  private final Set<Long> ofHost = new HashSet<>(); // allocations that the host wrote to
  private final Deque<Runnable> pending = new ArrayDeque<>();
  private List<Runnable> captured;
  private BiConsumer<String, long[]> observer = (kernel, parameters) -> {};
  private long handles;

  private record Kernel(Emulator emulator, long module, String name) {}

  /** A device whose threads and blocks run in ascending order; needs g++. */
  public EmulatedDriver() {
    this(emulator -> {});
  }

  /**
   * A device.
   *
   * @param configuration how the kernels of each module run
   */
  public EmulatedDriver(Consumer<Emulator> configuration) {
    this.configuration = configuration;
    this.memory = Emulator.of("#include \"topknot/device.cuh\"\n");
  }

  /** How many allocations, host blocks, modules and graphs have not been given back. */
  public synchronized int open() {
    return allocations.size() + hostBlocks.size() + modules.size() + graphs.size();
  }

  /** Bytes of device memory that are taken. */
  public synchronized long bytes() {
    return allocations.values().stream().mapToLong(Long::longValue).sum();
  }

  /** Bytes between an address and the start of its allocation. */
  public synchronized long offset(long address) {
    return address - allocations.floorKey(address);
  }

  /**
   * Looks at the device's memory after each launch from now on.
   *
   * @param watching is given the kernel's name and parameters
   */
  public synchronized void afterLaunches(BiConsumer<String, long[]> watching) {
    observer = watching;
  }

  /**
   * Fills with NaN all memory that only kernels write to, which is workspaces and scratch: between
   * two steps nobody may count on what it holds.
   */
  public synchronized void poisonWorkspaces() {
    synchronize();
    allocations.forEach(
        (address, bytes) -> {
          if (!ofHost.contains(address)) {
            set(address, POISON, bytes / Integer.BYTES);
          }
        });
  }

  @Override
  public Properties properties() {
    return PROPERTIES;
  }

  @Override
  public long freeBytes() {
    return PROPERTIES.memory() - bytes();
  }

  @Override
  public synchronized long allocate(long bytes) {
    long address = memory.allocate(bytes);
    allocations.put(address, bytes);
    return address;
  }

  @Override
  public synchronized void free(long address) {
    synchronize();
    if (allocations.remove(address) == null) {
      throw new CudaException("freeing memory: there is none at " + address);
    }
    ofHost.remove(address);
    fail(memory.free(address));
  }

  @Override
  public synchronized ByteBuffer allocateHost(int bytes) {
    ByteBuffer block = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    hostBlocks.add(block);
    return block;
  }

  @Override
  public synchronized void freeHost(ByteBuffer buffer) {
    if (!hostBlocks.remove(buffer)) {
      throw new IllegalArgumentException("not a buffer of this device");
    }
  }

  @Override
  public synchronized void write(long to, ByteBuffer from) {
    requireDirect(from);
    ByteBuffer source = from.duplicate();
    ofHost.add(allocations.floorKey(to));
    soon(() -> bytes(to, source.remaining()).put(source.duplicate()));
  }

  @Override
  public synchronized void read(ByteBuffer to, long from) {
    requireDirect(to);
    synchronize();
    to.duplicate().put(bytes(from, to.remaining()));
  }

  @Override
  public synchronized void copy(long to, long from, long bytes) {
    ofHost.add(allocations.floorKey(to));
    soon(() -> bytes(to, bytes).put(bytes(from, bytes)));
  }

  @Override
  public synchronized void fill(long address, int word, long words) {
    ofHost.add(allocations.floorKey(address));
    soon(() -> set(address, word, words));
  }

  private static void set(long address, int word, long words) {
    ByteBuffer target = bytes(address, Integer.BYTES * words);
    while (target.hasRemaining()) {
      target.putInt(word);
    }
  }

  @Override
  public synchronized long load(KernelSource source) {
    Emulator emulator = Emulator.of(source.text());
    configuration.accept(emulator);
    modules.put(++handles, emulator);
    return handles;
  }

  @Override
  public synchronized void unload(long module) {
    synchronize();
    modules.remove(module); // the library stays: another device may have loaded it too
    kernels.values().removeIf(kernel -> kernel.module == module);
  }

  @Override
  public synchronized long kernel(long module, String name) {
    kernels.put(++handles, new Kernel(modules.get(module), module, name));
    return handles;
  }

  @Override
  public synchronized void launch(
      long kernel,
      int gridX,
      int gridY,
      int gridZ,
      int threads,
      int sharedBytes,
      long... parameters) {
    Kernel k = kernels.get(kernel);
    long[] kept = parameters.clone();
    int[] grid = {gridX, gridY, gridZ};
    int[] block = {threads, 1, 1};
    soon(
        () -> {
          fail(k.emulator.launch(k.name, grid, block, sharedBytes, kept));
          fail(memory.check().map(damage -> k.name + ": " + damage));
          observer.accept(k.name, kept);
        });
  }

  @Override
  public synchronized long capture(Runnable calls) {
    captured = new ArrayList<>();
    try {
      calls.run();
      graphs.put(++handles, captured);
      return handles;
    } finally {
      captured = null;
    }
  }

  @Override
  public synchronized void replay(long graph) {
    graphs.get(graph).forEach(this::soon);
  }

  @Override
  public synchronized void release(long graph) {
    if (graphs.remove(graph) == null) {
      throw new CudaException("forgetting launches: there are none");
    }
  }

  @Override
  public synchronized void synchronize() {
    if (captured != null) {
      throw new CudaException("waiting while launches are recorded");
    }
    try {
      while (!pending.isEmpty()) {
        pending.remove().run();
      }
    } finally {
      pending.clear();
    }
  }

  private void soon(Runnable action) {
    if (captured != null) {
      captured.add(action);
    } else {
      pending.add(action);
    }
  }

  private static ByteBuffer bytes(long address, long bytes) {
    return (bytes == 0 ? ByteBuffer.allocate(0) : new Pointer(address).getByteBuffer(0, bytes))
        .order(ByteOrder.nativeOrder());
  }

  private static void requireDirect(ByteBuffer buffer) {
    if (!buffer.isDirect() || Native.getDirectBufferPointer(buffer) == null) {
      throw new IllegalArgumentException("expected a direct buffer");
    }
  }

  private static void fail(Optional<String> error) {
    error.ifPresent(
        text -> {
          throw new CudaException(text);
        });
  }
}
