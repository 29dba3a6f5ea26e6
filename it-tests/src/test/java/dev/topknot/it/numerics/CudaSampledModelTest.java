package dev.topknot.it.numerics;

import dev.topknot.dsl.Precision;
import dev.topknot.it.cuda.EmulatedDevices;
import dev.topknot.it.reference.Products;
import dev.topknot.runtime.Device;
import java.util.List;

/** The kernels of a generated model whose softmax is sampled, on the emulator. */
class CudaSampledModelTest extends SampledModelTest {
  @Override
  List<Device> devices() {
    return EmulatedDevices.all();
  }

  @Override
  void poison(Device device) {
    EmulatedDevices.driver(device).poisonWorkspaces();
  }

  @Override
  Products products(Precision precision) {
    return Values.cudaProducts(precision);
  }
}
