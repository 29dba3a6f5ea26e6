package dev.topknot.it.numerics;

import dev.topknot.it.cuda.EmulatedDevices;
import dev.topknot.runtime.Device;

/** The kernels of a generated model, on the emulator. */
class CudaModelTest extends GeneratedModelTest {
  @Override
  Device device(int variant) {
    return EmulatedDevices.of(variant);
  }
}
