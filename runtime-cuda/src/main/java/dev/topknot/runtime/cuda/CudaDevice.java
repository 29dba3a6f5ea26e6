package dev.topknot.runtime.cuda;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.Tensor;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/** One NVIDIA GPU, or what stands in for one. */
public final class CudaDevice extends Device {
  private static final ConcurrentMap<Integer, CudaDevice> DEVICES = new ConcurrentHashMap<>();

  private final Driver driver;

  private CudaDevice(Driver driver) {
    this.driver = driver;
  }

  /** The device behind a driver: tests bring drivers of their own. */
  public static CudaDevice of(Driver driver) {
    return new CudaDevice(driver);
  }

  /**
   * A GPU of this machine; the same object for the same number.
   *
   * @param index its number in the driver's order
   * @throws IllegalArgumentException if there is no such number
   * @throws IllegalStateException if this process cannot use it, saying why and what to do
   */
  public static CudaDevice of(int index) {
    return DEVICES.computeIfAbsent(index, i -> open(i, Probe.result()));
  }

  private static CudaDevice open(int index, Probe probe) {
    Driver.Properties properties = require(index, probe);
    List<KernelCompiler> compilers = List.of(new Nvrtc(), new Nvcc());
    KernelLadder ladder = new KernelLadder(KernelCache.ofUser(), compilers);
    return new CudaDevice(new JCudaDriver(index, properties, ladder));
  }

  /** What a device is, if it can be used. */
  static Driver.Properties require(int index, Probe probe) {
    if (probe.state() != Probe.State.FINE) {
      throw new IllegalStateException("no CUDA device: " + probe.message());
    }
    if (index < 0 || index >= probe.devices().size()) {
      throw new IllegalArgumentException(
          String.format(
              "expected the number of a CUDA device in 0..%d, got %d: %s",
              probe.devices().size() - 1, index, probe.found()));
    }
    Driver.Properties device = probe.devices().get(index);
    if (!Probe.usable(device)) {
      throw new IllegalStateException(
          String.format(
              "%s of compute capability %d.%d: %s",
              device.name(), device.major(), device.minor(), Probe.State.TOO_OLD.remedy()));
    }
    return device;
  }

  /** The number of the device with the most multiprocessors; -1 when none can be used. */
  public static int largest(Probe probe) {
    int best = -1;
    for (int i = 0; i < probe.devices().size(); i++) {
      Driver.Properties device = probe.devices().get(i);
      if (Probe.usable(device)
          && (best < 0 || device.multiprocessors() > probe.devices().get(best).multiprocessors())) {
        best = i;
      }
    }
    return best;
  }

  /** What it is driven by. */
  public Driver driver() {
    return driver;
  }

  @Override
  public String name() {
    return driver.properties().name();
  }

  @Override
  public Tensor tensor(long... shape) {
    long size = Tensor.size(shape);
    return new CudaTensor(this, CudaArena.zeros(driver, size), 0, true, shape);
  }
}
