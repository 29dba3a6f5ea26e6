package dev.topknot.it.numerics;

import com.sun.jna.Pointer;
import dev.topknot.dsl.Precision;
import dev.topknot.it.cuda.EmulatedDevices;
import dev.topknot.it.cuda.EmulatedDriver;
import dev.topknot.it.reference.Products;
import dev.topknot.runtime.Device;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** The kernels of generated layers, on the emulator. */
class CudaLayerTest extends GeneratedLayerTest {
  private long chosen; // where the latest forward left it

  @Override
  List<Device> devices() {
    List<Device> all = EmulatedDevices.all();
    for (Device device : all) {
      EmulatedDriver driver = EmulatedDevices.driver(device);
      driver.afterLaunches(
          (kernel, parameters) -> {
            if (kernel.equals("dispatch_forward_counts")) {
              chosen = parameters[1];
            }
          });
    }
    return all;
  }

  @Override
  int[][] chosen(int tokens, int k) {
    int[] pairs = new Pointer(chosen).getIntArray(0, tokens * k);
    return IntStream.range(0, tokens)
        .mapToObj(t -> Arrays.copyOfRange(pairs, t * k, (t + 1) * k))
        .toArray(int[][]::new);
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
