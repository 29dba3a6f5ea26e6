package dev.topknot.runtime.cuda;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.Tensor;

/** One NVIDIA GPU, or what stands in for one. */
public final class CudaDevice extends Device {
  private final Driver driver;

  private CudaDevice(Driver driver) {
    this.driver = driver;
  }

  /** The device behind a driver: tests bring drivers of their own. */
  public static CudaDevice of(Driver driver) {
    return new CudaDevice(driver);
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
