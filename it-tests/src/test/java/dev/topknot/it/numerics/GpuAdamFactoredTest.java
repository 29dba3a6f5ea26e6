package dev.topknot.it.numerics;

import dev.topknot.runtime.Device;
import java.util.List;
import org.junit.jupiter.api.condition.EnabledIf;

/** The kernels of the factored optimizer, on a GPU. */
@EnabledIf("dev.topknot.it.gpu.DeviceTests#gpu")
class GpuAdamFactoredTest extends AdamFactoredTest {
  @Override
  List<Device> devices() {
    return List.of(Device.cuda(0), Device.cuda(0));
  }
}
