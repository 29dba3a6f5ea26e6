package dev.topknot.runtime.cuda;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.CUstream_flags;

/**
 * An NVIDIA GPU through the driver's own interface, as JCuda binds it: its primary context, one
 * stream for everything that is done, and one for what is recorded.
 */
final class JCudaDriver implements Driver {
  /** Dynamic shared memory that a kernel may have without asking. */
  private static final int SHARED_UNASKED = 48 << 10;

  /** Most parameters of a kernel. */
  private static final int PARAMETERS = 24;

  private final Properties properties;
  private final KernelLadder ladder;
  private final CUcontext context = new CUcontext();
  private final CUstream doing = new CUstream();
  private final CUstream recording = new CUstream();

  /** Where calls go. */
  private CUstream stream = doing;

  private final Handles<CUmodule> modules = new Handles<>();
  private final Handles<Kernel> kernels = new Handles<>();
  private final Handles<CUgraphExec> graphs = new Handles<>();
  private final IdentityHashMap<ByteBuffer, Pointer> hostBlocks = new IdentityHashMap<>();

  /**
   * Takes the primary context of a device.
   *
   * @param index number of the device, checked
   */
  JCudaDriver(int index, Properties properties, KernelLadder ladder) {
    this.properties = properties;
    this.ladder = ladder;
    CUdevice device = new CUdevice();
    check("opening " + properties.name(), jcuda.driver.JCudaDriver.cuDeviceGet(device, index));
    check(
        "opening a context on " + properties.name(),
        jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRetain(context, device));
    enter();
    // A blocking stream: what JCuda's users do on the default stream keeps its order with ours. It
    // would also spoil a recording there, which is on a stream that has no order with theirs.
    open(doing, CUstream_flags.CU_STREAM_DEFAULT);
    open(recording, CUstream_flags.CU_STREAM_NON_BLOCKING);
  }

  /** Makes the context the thread's. */
  private void enter() {
    check("entering the context", jcuda.driver.JCudaDriver.cuCtxSetCurrent(context));
  }

  private static void open(CUstream stream, int flags) {
    check("opening a stream", jcuda.driver.JCudaDriver.cuStreamCreate(stream, flags));
  }

  private static void check(String what, int code) {
    JCuda.check(what, code);
  }

  @Override
  public Properties properties() {
    return properties;
  }

  @Override
  public synchronized long freeBytes() {
    enter();
    long[] free = new long[1];
    check("asking for free memory", jcuda.driver.JCudaDriver.cuMemGetInfo(free, new long[1]));
    return free[0];
  }

  @Override
  public synchronized long allocate(long bytes) {
    enter();
    Address address = new Address(0);
    int code = jcuda.driver.JCudaDriver.cuMemAlloc(address, bytes);
    if (code == CUresult.CUDA_ERROR_OUT_OF_MEMORY) {
      throw new OutOfMemoryError(
          String.format(
              "%,d bytes wanted on %s, which has %,d of %,d free",
              bytes, properties.name(), freeBytes(), properties.memory()));
    }
    check("taking " + bytes + " bytes", code);
    return address.value();
  }

  @Override
  public synchronized void free(long address) {
    enter();
    check("freeing memory", jcuda.driver.JCudaDriver.cuMemFree(new Address(address)));
  }

  @Override
  public synchronized ByteBuffer allocateHost(int bytes) {
    enter();
    Pointer block = new Pointer();
    int code = jcuda.driver.JCudaDriver.cuMemAllocHost(block, bytes);
    if (code == CUresult.CUDA_ERROR_OUT_OF_MEMORY) {
      throw new OutOfMemoryError(bytes + " bytes of page-locked memory wanted");
    }
    check("taking " + bytes + " bytes of page-locked memory", code);
    ByteBuffer buffer = block.getByteBuffer(0, bytes).order(ByteOrder.nativeOrder());
    hostBlocks.put(buffer, block);
    return buffer;
  }

  @Override
  public synchronized void freeHost(ByteBuffer buffer) {
    Pointer block = hostBlocks.remove(buffer);
    if (block == null) {
      throw new IllegalArgumentException("not a buffer of this device");
    }
    enter();
    check("freeing page-locked memory", jcuda.driver.JCudaDriver.cuMemFreeHost(block));
  }

  @Override
  public synchronized void write(long to, ByteBuffer from) {
    enter();
    check(
        "copying to the device",
        jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync(
            new Address(to), Pointer.toBuffer(from), from.remaining(), stream));
  }

  @Override
  public synchronized void read(ByteBuffer to, long from) {
    enter();
    check(
        "copying from the device",
        jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync(
            Pointer.toBuffer(to), new Address(from), to.remaining(), stream));
    finish();
  }

  @Override
  public synchronized void copy(long to, long from, long bytes) {
    enter();
    check(
        "copying on the device",
        jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync(
            new Address(to), new Address(from), bytes, stream));
  }

  @Override
  public synchronized void fill(long address, int word, long words) {
    if (words > 0) {
      enter();
      check(
          "filling memory",
          jcuda.driver.JCudaDriver.cuMemsetD32Async(new Address(address), word, words, stream));
    }
  }

  @Override
  public synchronized long load(KernelSource source) {
    enter();
    return ladder.load(source, properties, this::load);
  }

  private long load(byte[] image) {
    CUmodule module = new CUmodule();
    check("loading kernels", jcuda.driver.JCudaDriver.cuModuleLoadData(module, image));
    return modules.add(module);
  }

  @Override
  public synchronized void unload(long module) {
    enter();
    kernels.removeIf(kernel -> kernel.module == module);
    check("unloading kernels", jcuda.driver.JCudaDriver.cuModuleUnload(modules.remove(module)));
  }

  @Override
  public synchronized long kernel(long module, String name) {
    enter();
    CUfunction function = new CUfunction();
    check(
        "looking for it",
        jcuda.driver.JCudaDriver.cuModuleGetFunction(function, modules.get(module), name));
    return kernels.add(new Kernel(function, module));
  }

  @Override
  public synchronized void launch(
      long kernel, int gridX, int gridY, int gridZ, int threads, int sharedBytes, long... values) {
    enter();
    Kernel function = kernels.get(kernel);
    if (sharedBytes > function.shared) {
      check(
          "asking for " + sharedBytes + " bytes of shared memory",
          jcuda.driver.JCudaDriver.cuFuncSetAttribute(
              function.function,
              CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
              sharedBytes));
      function.shared = sharedBytes;
    }
    if (values.length > PARAMETERS) {
      throw new IllegalArgumentException(
          "expected at most " + PARAMETERS + " parameters, got " + values.length);
    }
    Pointer[] pointers = new Pointer[values.length];
    for (int i = 0; i < values.length; i++) {
      pointers[i] = Pointer.to(new long[] {values[i]});
    }
    check(
        "launching",
        jcuda.driver.JCudaDriver.cuLaunchKernel(
            function.function,
            gridX,
            gridY,
            gridZ,
            threads,
            1,
            1,
            sharedBytes,
            stream,
            Pointer.to(pointers),
            null));
  }

  @Override
  public synchronized long capture(Runnable calls) {
    enter();
    // relaxed: kernels may be looked up, and their code loaded, while launches are recorded
    check(
        "starting to record",
        jcuda.driver.JCudaDriver.cuStreamBeginCapture(
            recording, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED));
    stream = recording;
    CUgraph graph = new CUgraph();
    Throwable failure = null;
    try {
      calls.run();
    } catch (Throwable t) {
      failure = t;
      throw t;
    } finally {
      stream = doing;
      int code = jcuda.driver.JCudaDriver.cuStreamEndCapture(recording, graph);
      if (failure == null) {
        check("recording", code);
      } else if (code == CUresult.CUDA_SUCCESS) {
        jcuda.driver.JCudaDriver.cuGraphDestroy(graph);
      }
    }
    CUgraphExec executable = new CUgraphExec();
    int code = jcuda.driver.JCudaDriver.cuGraphInstantiate(executable, graph, 0);
    jcuda.driver.JCudaDriver.cuGraphDestroy(graph);
    check("preparing what was recorded", code);
    return graphs.add(executable);
  }

  @Override
  public synchronized void replay(long graph) {
    enter();
    check("replaying launches", jcuda.driver.JCudaDriver.cuGraphLaunch(graphs.get(graph), stream));
  }

  @Override
  public synchronized void release(long graph) {
    enter();
    check("forgetting launches", jcuda.driver.JCudaDriver.cuGraphExecDestroy(graphs.remove(graph)));
  }

  @Override
  public synchronized void synchronize() {
    enter();
    finish();
  }

  private void finish() {
    check("waiting for the device", jcuda.driver.JCudaDriver.cuStreamSynchronize(stream));
  }

  /** A device address that can be made of a number and read as one. */
  private static final class Address extends CUdeviceptr {
    Address(long address) {
      super(new CUdeviceptr(), address);
    }

    long value() {
      return getNativePointer() + getByteOffset();
    }
  }

  /** A kernel and how much shared memory it was allowed. */
  private static final class Kernel {
    final CUfunction function;
    final long module;
    int shared = SHARED_UNASKED;

    Kernel(CUfunction function, long module) {
      this.function = function;
      this.module = module;
    }
  }

  /** Numbers for the binding's objects. */
  private static final class Handles<T> {
    private final Map<Long, T> objects = new HashMap<>();
    private long latest;

    long add(T object) {
      objects.put(++latest, object);
      return latest;
    }

    T get(long handle) {
      T object = objects.get(handle);
      if (object == null) {
        throw new IllegalArgumentException("no such handle: " + handle);
      }
      return object;
    }

    T remove(long handle) {
      T object = get(handle);
      objects.remove(handle);
      return object;
    }

    void removeIf(Predicate<T> obsolete) {
      List<Long> gone = new ArrayList<>();
      objects.forEach(
          (handle, object) -> {
            if (obsolete.test(object)) {
              gone.add(handle);
            }
          });
      gone.forEach(objects::remove);
    }
  }
}
