package dev.topknot.it.numerics;

import dev.topknot.dsl.Precision;
import dev.topknot.it.reference.Products;
import dev.topknot.runtime.Device;
import java.util.List;
import org.junit.jupiter.api.condition.EnabledIf;

/** The kernels of generated layers with two levels of gates, on a GPU. */
@EnabledIf("dev.topknot.it.gpu.DeviceTests#gpu")
class GpuHierarchyTest extends GeneratedHierarchyTest {
  @Override
  List<Device> devices() {
    return List.of(Device.cuda(0), Device.cuda(0));
  }

  @Override
  Products products(Precision precision) {
    return Values.cudaProducts(precision);
  }
}
