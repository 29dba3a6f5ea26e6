package dev.topknot.it.numerics;

import com.sun.jna.Pointer;
import dev.topknot.dsl.Precision;
import dev.topknot.it.cuda.EmulatedDevices;
import dev.topknot.it.reference.Products;
import dev.topknot.runtime.Device;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** The kernels of generated layers with two levels of gates, on the emulator. */
class CudaHierarchyTest extends GeneratedHierarchyTest {
  private int pairs;
  private int[] chosen; // by the latest forward; its memory may serve others before the end

  @Override
  void begins(int pairs) {
    this.pairs = pairs;
  }

  @Override
  List<Device> devices() {
    List<Device> all = EmulatedDevices.all();
    for (Device device : all) {
      EmulatedDevices.driver(device)
          .afterLaunches(
              (kernel, parameters) -> {
                if (kernel.equals("dispatch_forward_counts")) {
                  chosen = new Pointer(parameters[1]).getIntArray(0, pairs);
                }
              });
    }
    return all;
  }

  @Override
  int[][] chosen(int tokens, int k) {
    return IntStream.range(0, tokens)
        .mapToObj(t -> Arrays.copyOfRange(chosen, t * k, (t + 1) * k))
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
