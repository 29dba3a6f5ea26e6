package dev.topknot.it.numerics;

import dev.topknot.runtime.Device;
import org.junit.jupiter.api.condition.EnabledIf;

/** The kernels of generated layers, on a GPU. */
@EnabledIf("dev.topknot.it.gpu.DeviceTests#gpu")
class GpuLayerTest extends GeneratedLayerTest {
  @Override
  Device device(int variant) {
    return Device.cuda(0);
  }
}
