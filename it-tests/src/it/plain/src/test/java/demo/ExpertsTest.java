package demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import org.junit.jupiter.api.Test;

class ExpertsTest {
  @Test
  void learnsToDouble() {
    Device device = Device.cpu(2);
    try (Experts experts = TopknotExperts.on(device, 1);
        Tensor x = device.tensor(TopknotExperts.TOKENS, TopknotExperts.WIDTH);
        Tensor y = device.tensor(x.shape());
        Tensor dy = device.tensor(x.shape());
        Tensor dx = device.tensor(x.shape())) {
      float[] input = new float[(int) x.size()];
      for (int i = 0; i < input.length; i++) {
        input[i] = (float) Math.sin(i);
      }
      x.copyFrom(input);

      experts.infer(x, y);
      double before = loss(input, y, dy);
      for (int step = 0; step < 200; step++) {
        experts.forward(x, y);
        loss(input, y, dy);
        experts.backward(dy, dx);
        experts.update(Update.of(0.01));
      }
      experts.infer(x, y);
      double after = loss(input, y, dy);

      assertEquals(200, experts.step());
      assertEquals(4, experts.balance().experts());
      assertTrue(after < before / 4, before + " before, " + after + " after");
    }
  }

  /** Half the squared distance of y to 2 x; its gradient goes to dy. */
  private static double loss(float[] x, Tensor y, Tensor dy) {
    float[] gradient = new float[x.length];
    y.copyTo(gradient);
    double loss = 0;
    for (int i = 0; i < x.length; i++) {
      gradient[i] -= 2 * x[i];
      loss += 0.5 * gradient[i] * gradient[i];
    }
    dy.copyFrom(gradient);
    return loss;
  }
}
