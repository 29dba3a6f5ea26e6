package dev.topknot.it.gpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.cuda.EmulatedDriver;
import dev.topknot.it.cuda.Emulator.Schedule;
import dev.topknot.it.cuda.EmulatorBuild;
import dev.topknot.it.gpu.Instructions.Probe;
import dev.topknot.runtime.cuda.Driver;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * The emulator's instructions against plain loops, and against what a GPU gave: the dumps of {@code
 * it-tests/gpu/run}, which lie as {@code gpu/KERNEL.bin} in the tests' resources.
 */
class InstructionsTest {
  @BeforeEach
  void require() {
    EmulatorBuild.require();
  }

  @Test
  void theEmulatorGivesWhatTheInstructionsMust() {
    for (Schedule schedule : Schedule.values()) {
      for (boolean eager : new boolean[] {true, false}) {
        Driver driver = new EmulatedDriver(e -> e.configure(schedule, eager, 1, 1));
        long module = driver.load(Instructions.source());
        for (Probe probe : Instructions.probes()) {
          assertThat(probe.wrong(Instructions.run(driver, module, probe)))
              .as("%s, %s, eager %s", probe.kernel(), schedule, eager)
              .isEmpty();
        }
      }
    }
  }

  @Test
  void theEmulatorGivesWhatAGpuGave() throws IOException {
    Driver driver = new EmulatedDriver();
    long module = driver.load(Instructions.source());
    List<String> missing = new ArrayList<>();
    for (Probe probe : Instructions.probes()) {
      try (InputStream dump = getClass().getResourceAsStream("/gpu/" + probe.kernel() + ".bin")) {
        if (dump == null) {
          missing.add(probe.kernel());
          continue;
        }
        IntBuffer gave =
            ByteBuffer.wrap(dump.readAllBytes()).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer();
        int[] words = new int[gave.remaining()];
        gave.get(words);
        assertThat(probe.wrong(words)).as("a GPU's %s", probe.kernel()).isEmpty();
        if (probe.exact()) {
          assertThat(Instructions.run(driver, module, probe)).as(probe.kernel()).isEqualTo(words);
        }
      }
    }
    if (!missing.isEmpty()) {
      System.err.println(
          "NOT HELD TO A GPU: no dumps of a GPU in it-tests/src/test/resources/gpu for "
              + String.join(", ", missing));
    }
  }

  /** A comparison that finds nothing wrong with wrong words would prove nothing. */
  @Test
  void oneWrongWordIsSeen() {
    for (Probe probe : Instructions.probes()) {
      int[] words = probe.expected();
      words[words.length - 1] ^= 0x40000000;
      assertThat(probe.wrong(words)).as(probe.kernel()).isPresent();
    }
  }
}
