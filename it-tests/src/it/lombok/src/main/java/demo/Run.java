package demo;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.Tensor;
import lombok.Builder;
import lombok.Value;

/** A class that uses both generators at once. */
@Value
@Builder
public class Run {
  long seed;
  int threads;

  /** The layer's answer to zeros. */
  public float[] zeros() {
    Device device = Device.cpu(getThreads());
    try (Experts experts = TopknotExperts.on(device, getSeed());
        Tensor x = device.tensor(TopknotExperts.TOKENS, TopknotExperts.WIDTH);
        Tensor y = device.tensor(x.shape())) {
      experts.infer(x, y);
      float[] values = new float[(int) y.size()];
      y.copyTo(values);
      return values;
    }
  }
}
