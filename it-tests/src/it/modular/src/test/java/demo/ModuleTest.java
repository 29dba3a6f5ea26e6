package demo;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.topknot.dsl.MoELayer;
import dev.topknot.runtime.Device;
import org.junit.jupiter.api.Test;

class ModuleTest {
  @Test
  void everythingIsInANamedModule() {
    assertEquals("demo", TopknotExperts.class.getModule().getName());
    assertEquals("dev.topknot.runtime", Device.class.getModule().getName());
    assertEquals("dev.topknot.dsl", MoELayer.class.getModule().getName());
  }
}
