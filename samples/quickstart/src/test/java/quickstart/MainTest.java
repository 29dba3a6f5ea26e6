package quickstart;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.topknot.runtime.Device;
import org.junit.jupiter.api.Test;

class MainTest {
  @Test
  void recites() {
    try (TinyModel model = TopknotTinyModel.on(Device.cpu(1), 1)) {
      Main.train(model, 300);
      assertEquals(Main.TEXT.substring(0, 57), Main.recite(model, "Tyger Tyger", 46));
    }
  }
}
