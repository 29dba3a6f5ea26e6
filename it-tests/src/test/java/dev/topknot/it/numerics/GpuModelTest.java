package dev.topknot.it.numerics;

import dev.topknot.runtime.Device;
import org.junit.jupiter.api.condition.EnabledIf;

/** The kernels of a generated model, on a GPU. */
@EnabledIf("dev.topknot.it.gpu.DeviceTests#gpu")
class GpuModelTest extends GeneratedModelTest {
  @Override
  Device device(int variant) {
    return Device.cuda(0);
  }
}
