package dev.topknot.it.cuda;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.cuda.CudaDevice;

/** Devices whose kernels run on the emulator. */
public final class EmulatedDevices {
  private EmulatedDevices() {}

  /**
   * A device that orders threads, blocks and asynchronous copies in one of two opposite ways;
   * aborts the calling test where there is no g++.
   *
   * @param variant 1: ascending, copies land at once; 2: descending, copies land when waited for
   */
  public static Device of(int variant) {
    Emulator.Schedule schedule =
        variant == 1 ? Emulator.Schedule.ASCENDING : Emulator.Schedule.DESCENDING;
    return CudaDevice.of(
        new EmulatedDriver(emulator -> emulator.configure(schedule, variant == 1, 1, 2)));
  }
}
