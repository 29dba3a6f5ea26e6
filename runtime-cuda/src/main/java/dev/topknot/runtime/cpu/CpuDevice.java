package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.Tensor;
import java.nio.FloatBuffer;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/** The processors of this machine: a number of threads and a matrix product. */
public final class CpuDevice extends Device {
  private static final ConcurrentMap<Integer, CpuDevice> DEVICES = new ConcurrentHashMap<>();

  private final Cpu cpu;

  private CpuDevice(int threads) {
    this.cpu = Cpu.of(threads);
  }

  /**
   * The device of so many threads; the same object for the same number.
   *
   * @throws IllegalArgumentException if {@code threads} is not positive
   */
  public static CpuDevice of(int threads) {
    return DEVICES.computeIfAbsent(threads, CpuDevice::new);
  }

  /** A tensor over a direct buffer; see {@link Tensor#wrap}. */
  public static Tensor wrap(FloatBuffer direct, long... shape) {
    long size = Tensor.size(shape);
    if (direct.remaining() != size) {
      throw new IllegalArgumentException(
          "expected a buffer with " + size + " floats remaining, got " + direct.remaining());
    }
    Matrix matrix = Matrix.wrap(direct, CpuTensor.rows(shape), CpuTensor.columns(shape));
    return new CpuTensor(Device.cpu(), matrix, null, shape);
  }

  /** Threads and matrix product. */
  public Cpu hardware() {
    return cpu;
  }

  @Override
  public String name() {
    int threads = cpu.workers().threads();
    return "CPU with " + threads + (threads == 1 ? " thread" : " threads");
  }

  @Override
  public Tensor tensor(long... shape) {
    Arena arena = Arena.allocate(Tensor.size(shape));
    Matrix matrix = arena.matrix(0, CpuTensor.rows(shape), CpuTensor.columns(shape));
    return new CpuTensor(this, matrix, arena, shape);
  }
}
