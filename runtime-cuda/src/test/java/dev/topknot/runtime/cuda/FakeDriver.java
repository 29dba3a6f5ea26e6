package dev.topknot.runtime.cuda;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * A device made of buffers, whose kernels are Java; it notes what it is asked to do. Addresses lie
 * far apart, so that none is right by chance.
 */
final class FakeDriver implements Driver {
  /** What a kernel does with its parameters. */
  interface Kernel {
    void run(long... parameters);
  }

  final List<String> log = new ArrayList<>();
  final Map<String, Kernel> kernels = new HashMap<>();
  final TreeMap<Long, ByteBuffer> memory = new TreeMap<>();
  final Set<ByteBuffer> hostBlocks = Collections.newSetFromMap(new IdentityHashMap<>());
  final Map<Long, List<Runnable>> graphs = new HashMap<>();
  private final Map<Long, String> names = new HashMap<>();
  private List<Runnable> captured;
  private long next = 1L << 40;
  int modules;

  /** Whether there is machine code for it. */
  boolean hasKernels = true;

  /** How many allocations, of the device and the host, are left until there is no more memory. */
  int left = Integer.MAX_VALUE;

  /** Nothing that was taken is left. */
  boolean isEmpty() {
    return memory.isEmpty() && hostBlocks.isEmpty() && graphs.isEmpty() && modules == 0;
  }

  /** Memory from an address on. */
  ByteBuffer at(long address) {
    Map.Entry<Long, ByteBuffer> block = memory.floorEntry(address);
    int offset = (int) (address - block.getKey());
    ByteBuffer bytes = block.getValue();
    return bytes.slice(offset, bytes.capacity() - offset).order(ByteOrder.nativeOrder());
  }

  private void take(long bytes) {
    if (left-- == 0) {
      throw new OutOfMemoryError(bytes + " bytes wanted");
    }
  }

  private void act(String what, Runnable action) {
    if (captured != null) {
      captured.add(action);
    } else {
      log.add(what);
      action.run();
    }
  }

  @Override
  public Properties properties() {
    return new Properties("fake", 8, 0, 1, 1 << 20, 48 << 10);
  }

  @Override
  public long freeBytes() {
    return properties().memory() - memory.values().stream().mapToLong(ByteBuffer::capacity).sum();
  }

  @Override
  public long allocate(long bytes) {
    take(bytes);
    next += 1L << 32;
    memory.put(next, ByteBuffer.allocate((int) bytes).order(ByteOrder.nativeOrder()));
    return next;
  }

  @Override
  public void free(long address) {
    if (memory.remove(address) == null) {
      throw new CudaException("freed twice");
    }
  }

  @Override
  public ByteBuffer allocateHost(int bytes) {
    take(bytes);
    ByteBuffer block = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    hostBlocks.add(block);
    return block;
  }

  @Override
  public void freeHost(ByteBuffer buffer) {
    if (!hostBlocks.remove(buffer)) {
      throw new CudaException("freed twice");
    }
  }

  @Override
  public void write(long to, ByteBuffer from) {
    act("write " + from.remaining(), () -> at(to).put(from.duplicate()));
  }

  @Override
  public void read(ByteBuffer to, long from) {
    act("read " + to.remaining(), () -> to.duplicate().put(at(from).limit(to.remaining())));
  }

  @Override
  public void copy(long to, long from, long bytes) {
    act("copy " + bytes, () -> at(to).put(at(from).limit((int) bytes)));
  }

  @Override
  public void fill(long address, int word, long words) {
    act(
        "fill " + words,
        () -> {
          for (int i = 0; i < words; i++) {
            at(address).putInt(4 * i, word);
          }
        });
  }

  @Override
  public long load(KernelSource source) {
    if (!hasKernels) {
      throw new CudaException("no kernels of " + source.spec());
    }
    log.add("load " + source.spec());
    return ++modules;
  }

  @Override
  public void unload(long module) {
    modules--;
  }

  @Override
  public long kernel(long module, String name) {
    if (!kernels.containsKey(name)) {
      throw new CudaException("looking for it: CUDA_ERROR_NOT_FOUND");
    }
    long handle = names.size() + 1000L;
    names.put(handle, name);
    return handle;
  }

  @Override
  public void launch(
      long kernel,
      int gridX,
      int gridY,
      int gridZ,
      int threads,
      int sharedBytes,
      long... parameters) {
    String name = names.get(kernel);
    long[] kept = parameters.clone();
    act(
        String.format(
            "%s <<<%d %d %d, %d, %d>>> %d",
            name, gridX, gridY, gridZ, threads, sharedBytes, parameters.length),
        () -> kernels.get(name).run(kept));
  }

  @Override
  public long capture(Runnable calls) {
    captured = new ArrayList<>();
    try {
      calls.run();
      long handle = next++;
      graphs.put(handle, captured);
      return handle;
    } finally {
      captured = null;
    }
  }

  @Override
  public void replay(long graph) {
    log.add("replay of " + graphs.get(graph).size());
    graphs.get(graph).forEach(Runnable::run);
  }

  @Override
  public void release(long graph) {
    if (graphs.remove(graph) == null) {
      throw new CudaException("released twice");
    }
  }

  @Override
  public void synchronize() {
    if (captured != null) {
      throw new CudaException("waiting while launches are recorded");
    }
    log.add("wait");
  }
}
