package demo;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.topknot.runtime.Device;
import org.junit.jupiter.api.Test;

class UserTest {
  private static final int EXPERTS = Integer.getInteger("experts");
  private static final int HIDDEN = Integer.getInteger("hidden");

  @Test
  void followsTheAnnotation() {
    assertEquals(EXPERTS * 8 * HIDDEN, User.firstWeights());
    try (Experts experts = TopknotExperts.on(Device.cpu(1), 1)) {
      long parameters =
          experts.parameters().stream().mapToLong(parameter -> parameter.value().size()).sum();
      assertEquals(TopknotExperts.PARAMETERS, parameters);
    }
  }
}
