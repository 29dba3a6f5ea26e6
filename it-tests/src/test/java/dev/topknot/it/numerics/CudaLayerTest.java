package dev.topknot.it.numerics;

import dev.topknot.it.cuda.EmulatedDevices;
import dev.topknot.runtime.Device;

/** The kernels of generated layers, on the emulator. */
class CudaLayerTest extends GeneratedLayerTest {
  @Override
  Device device(int variant) {
    return EmulatedDevices.of(variant);
  }
}
