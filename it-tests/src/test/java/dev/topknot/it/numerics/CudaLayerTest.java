package dev.topknot.it.numerics;

import dev.topknot.dsl.Precision;
import dev.topknot.it.cuda.EmulatedDevices;
import dev.topknot.it.reference.Products;
import dev.topknot.runtime.Device;

/** The kernels of generated layers, on the emulator. */
class CudaLayerTest extends GeneratedLayerTest {
  @Override
  Device device(int variant) {
    return EmulatedDevices.of(variant);
  }

  @Override
  Products products(Precision precision) {
    return precision == Precision.BF16 ? Products.BF16 : Products.EXACT;
  }
}
