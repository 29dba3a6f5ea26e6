package dev.topknot.it.cuda;

import dev.topknot.it.cuda.Emulator.Schedule;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.cuda.CudaDevice;
import java.util.ArrayList;
import java.util.List;

/** Devices whose kernels run on the emulator. */
public final class EmulatedDevices {
  private EmulatedDevices() {}

  /**
   * Devices that order threads and blocks in each way there is, with asynchronous copies that land
   * at once or when waited for; aborts the calling test where there is no g++.
   */
  public static List<Device> all() {
    List<Device> all = new ArrayList<>();
    for (boolean eager : new boolean[] {true, false}) {
      for (Schedule schedule : Schedule.values()) {
        all.add(CudaDevice.of(new EmulatedDriver(e -> e.configure(schedule, eager, 1, 2))));
      }
    }
    return all;
  }

  /** The driver of one of these devices. */
  public static EmulatedDriver driver(Device device) {
    return (EmulatedDriver) ((CudaDevice) device).driver();
  }
}
