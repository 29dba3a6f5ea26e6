package dev.topknot.it.numerics;

import dev.topknot.it.cuda.EmulatedDevices;
import dev.topknot.runtime.Device;
import java.util.List;

/** The kernels of the factored optimizer, on the emulator. */
class CudaAdamFactoredTest extends AdamFactoredTest {
  @Override
  List<Device> devices() {
    return EmulatedDevices.all();
  }

  @Override
  void poison(Device device) {
    EmulatedDevices.driver(device).poisonWorkspaces();
  }
}
