package dev.topknot.it.cuda;

import dev.topknot.runtime.cuda.Driver;
import dev.topknot.runtime.cuda.KernelSource;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Writes down all that another driver is asked to do, for a replay. */
public final class RecordingDriver implements Driver {
  private final Driver driver;
  private final Recording recording;
  private final Map<Long, String> names = new HashMap<>();
  private final Map<Long, List<Step>> graphs = new HashMap<>();
  private final List<byte[]> reads = new ArrayList<>();
  private List<Step> captured;
  private String source;

  private interface Step {
    void write() throws IOException;
  }

  /** Records what is asked of a driver. */
  public RecordingDriver(Driver driver, Recording recording) {
    this.driver = driver;
    this.recording = recording;
  }

  /** The source of the kernels that were loaded last: a replayer is made of it. */
  public String source() {
    return source;
  }

  /** What was read back so far, call by call: a replay must read the same. */
  public List<byte[]> reads() {
    return List.copyOf(reads);
  }

  private void record(Step step) {
    if (captured != null) {
      captured.add(step);
      return;
    }
    try {
      step.write();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public Properties properties() {
    return driver.properties();
  }

  @Override
  public long freeBytes() {
    return driver.freeBytes();
  }

  @Override
  public long allocate(long bytes) {
    long address = driver.allocate(bytes);
    record(() -> recording.allocate(address, bytes));
    return address;
  }

  @Override
  public void free(long address) {
    driver.free(address);
    recording.free(address);
  }

  @Override
  public ByteBuffer allocateHost(int bytes) {
    return driver.allocateHost(bytes);
  }

  @Override
  public void freeHost(ByteBuffer buffer) {
    driver.freeHost(buffer);
  }

  @Override
  public void write(long to, ByteBuffer from) {
    record(() -> recording.write(to, from));
    driver.write(to, from);
  }

  @Override
  public void read(ByteBuffer to, long from) {
    record(() -> recording.read(from, to.remaining()));
    driver.read(to, from);
    byte[] bytes = new byte[to.remaining()];
    to.duplicate().get(bytes);
    reads.add(bytes);
  }

  @Override
  public void copy(long to, long from, long bytes) {
    if (bytes > 0) {
      record(() -> recording.copy(to, from, bytes));
    }
    driver.copy(to, from, bytes);
  }

  @Override
  public void fill(long address, int word, long words) {
    if (words > 0 && word == 0) {
      record(() -> recording.fill(address, Integer.BYTES * words, 0));
    } else if (words > 0) {
      ByteBuffer bytes =
          ByteBuffer.allocate(Math.toIntExact(Integer.BYTES * words))
              .order(ByteOrder.nativeOrder());
      while (bytes.hasRemaining()) {
        bytes.putInt(word);
      }
      record(() -> recording.write(address, bytes.clear()));
    }
    driver.fill(address, word, words);
  }

  @Override
  public long load(KernelSource kernels) {
    source = kernels.text();
    return driver.load(kernels);
  }

  @Override
  public void unload(long module) {
    driver.unload(module);
  }

  @Override
  public long kernel(long module, String name) {
    long kernel = driver.kernel(module, name);
    names.put(kernel, name);
    return kernel;
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
    record(
        () ->
            recording.launch(
                name,
                new int[] {gridX, gridY, gridZ},
                new int[] {threads, 1, 1},
                sharedBytes,
                kept));
    driver.launch(kernel, gridX, gridY, gridZ, threads, sharedBytes, parameters);
  }

  @Override
  public long capture(Runnable calls) {
    List<Step> steps = new ArrayList<>();
    captured = steps;
    try {
      long graph = driver.capture(calls);
      graphs.put(graph, steps);
      return graph;
    } finally {
      captured = null;
    }
  }

  @Override
  public void replay(long graph) {
    graphs.get(graph).forEach(this::record);
    driver.replay(graph);
  }

  @Override
  public void release(long graph) {
    driver.release(graph);
    graphs.remove(graph);
  }

  @Override
  public void synchronize() {
    driver.synchronize();
  }
}
