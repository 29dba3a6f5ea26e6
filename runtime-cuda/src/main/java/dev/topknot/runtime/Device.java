package dev.topknot.runtime;

import dev.topknot.runtime.cpu.CpuDevice;
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

  /** The fastest device of this machine; what was chosen and why is logged. */
  public static Device best() {
    Device device = cpu();
    LOG.info("Device.best() chose {}: it is the only kind of device of this runtime", device);
    return device;
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
