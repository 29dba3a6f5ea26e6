package dev.topknot.runtime;

import dev.topknot.runtime.cpu.CpuDevice;
import dev.topknot.runtime.cuda.CudaDevice;
import dev.topknot.runtime.cuda.Probe;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where a model lives and computes. A device holds nothing that needs closing; tensors, layers and
 * models made on it do.
 */
public abstract class Device {
  private static final Logger LOG = LoggerFactory.getLogger(Device.class);

  /** For implementations of the runtime. */
  protected Device() {}

  /** The largest CUDA device that can be used, else the CPU; what was chosen and why is logged. */
  public static Device best() {
    Probe probe = Probe.result();
    int index = CudaDevice.largest(probe);
    Device device = index < 0 ? cpu() : cuda(index);
    LOG.info("Device.best() chose {}: {}", device, probe.message());
    return device;
  }

  /**
   * An NVIDIA GPU of compute capability 8.0 or later.
   *
   * @param index its number in the driver's order, from 0
   * @throws IllegalArgumentException if there is no such number
   * @throws IllegalStateException if this process cannot use it, saying why and what to do
   */
  public static Device cuda(int index) {
    return CudaDevice.of(index);
  }

  /** The CPU with a thread for each processor that this process may use. */
  public static Device cpu() {
    return cpu(Runtime.getRuntime().availableProcessors());
  }

  /**
   * The CPU with a number of threads, the caller's included. Results do not depend on the number.
   *
   * @throws IllegalArgumentException if {@code threads} is not positive
   */
  public static Device cpu(int threads) {
    return CpuDevice.of(threads);
  }

  /** What this device is, for people. */
  public abstract String name();

  /**
   * A tensor of zeros.
   *
   * @param shape its dimensions, none negative; a product of 64 bits is fine
   * @throws IllegalArgumentException for a negative dimension or a product beyond 64 bits
   * @throws OutOfMemoryError naming the bytes wanted
   */
  public abstract Tensor tensor(long... shape);

  @Override
  public final String toString() {
    return name();
  }
}
