package dev.topknot.runtime.cuda;

import dev.topknot.runtime.Options;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;

/** The {@code struct LayerOptions} of run.cuh for each layer of an instance, on its device. */
final class LayerOptions {
  /** Size of the struct. */
  static final int BYTES = 32;

  private static final int IMPORTANCE_LOSS = 0;
  private static final int LOAD_LOSS = 4;
  private static final int NOISE_FLOOR = 8;
  private static final int DROPOUT = 12;
  private static final int NOISE = 16;

  private final CudaMemory memory;
  private final Options options;
  private final Map<String, Long> addresses = new HashMap<>();
  private final Map<String, Weights> weights = new HashMap<>();

  LayerOptions(CudaMemory memory, Options options) {
    this.memory = memory;
    this.options = options;
  }

  /** Uploads at the first call for a layer. */
  long address(
      String layer, double importanceLoss, double loadLoss, double noiseFloor, double dropout) {
    return addresses.computeIfAbsent(
        layer,
        name -> {
          Weights own =
              new Weights(
                  options.importanceLoss(name, importanceLoss), options.loadLoss(name, loadLoss));
          weights.put(name, own);
          ByteBuffer host = memory.host(BYTES);
          host.putFloat(IMPORTANCE_LOSS, (float) own.importanceLoss);
          host.putFloat(LOAD_LOSS, (float) own.loadLoss);
          host.putFloat(NOISE_FLOOR, (float) options.noiseFloor(name, noiseFloor));
          host.putFloat(DROPOUT, (float) options.dropout(name, dropout));
          host.putInt(NOISE, options.noise(name, true) ? 1 : 0);
          long address = memory.allocate(BYTES / Integer.BYTES).at(0);
          memory.driver.write(address, host.clear());
          memory.driver.synchronize();
          return address;
        });
  }

  /** Weights of the balancing losses of a layer that was asked for. */
  Weights weights(String layer) {
    return weights.get(layer);
  }

  /**
   * Weights of the balancing losses.
   *
   * @param importanceLoss of CV²(importance)
   * @param loadLoss of CV²(load)
   */
  record Weights(double importanceLoss, double loadLoss) {
    /** Of a gate that balances without losses. */
    static final Weights NONE = new Weights(0, 0);
  }
}
