package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.jna.Pointer;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.cpu.Arena;
import dev.topknot.runtime.cpu.CpuAccess;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.ModelInstance;
import dev.topknot.runtime.program.ModelShape;
import java.lang.reflect.Field;
import java.util.Arrays;
import java.util.List;

/**
 * Compares what a {@link Twin} on an emulated device chooses with what one on the CPU, a step ahead
 * of it, chose; where they differ, the choice and its gates can be replaced by the CPU's. Buffers
 * are found on the CPU at the offsets that the kernels are handed: both programs have one plan.
 */
final class TwinRouting {
  private static final int EXPERTS = 6;
  private static final int K = 2;

  private final EmulatedDriver driver;
  private final boolean replay;
  private int[] workspace; // of the CPU, after its latest forward
  private int tokens;
  private int flips;

  /**
   * Watches a device from now on.
   *
   * @param replay whether it must choose what the CPU chose
   */
  TwinRouting(EmulatedDriver driver, boolean replay) {
    this.driver = driver;
    this.replay = replay;
    driver.afterLaunches(this::afterLaunch);
  }

  /** How many tokens were compared. */
  int tokens() {
    return tokens;
  }

  /** How many of them went to other experts. */
  int flips() {
    return flips;
  }

  /** The twin on the CPU, which has to take each step first. */
  LanguageModel cpu(long seed) {
    return ModelInstance.open(
        Device.cpu(1),
        new ModelShape(TopknotTwin.BATCH, TopknotTwin.TIMESTEPS, TopknotTwin.VOCABULARY),
        layout(),
        Options.defaults(),
        seed,
        context -> CpuAccess.watched(context, new TopknotTwinCpu(context), this::look),
        TopknotTwinCuda::new);
  }

  private static Layout layout() {
    try {
      Field field = TopknotTwin.class.getDeclaredField("LAYOUT");
      field.setAccessible(true);
      return (Layout) field.get(null);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError(e.getMessage(), e);
    }
  }

  private void look(CpuContext context) {
    Arena arena = context.workspace();
    workspace = new int[Math.toIntExact(arena.size())];
    arena.ints(0, arena.size()).read(0, workspace, 0, workspace.length);
  }

  private void afterLaunch(String kernel, long[] parameters) {
    if (!kernel.equals("experts_noisy_top_k_gate_forward_select")) {
      return;
    }
    long noisy = parameters[4];
    long chosen = parameters[5];
    long gates = parameters[6];
    for (int token = 0; token < TopknotTwin.TOKENS; token++) {
      long pair = (long) Integer.BYTES * K * token;
      int[] own = new Pointer(chosen + pair).getIntArray(0, K);
      int[] expected = cpus(chosen + pair);
      assertThat(Arrays.stream(expected)).allMatch(expert -> expert >= 0 && expert < EXPERTS);
      tokens++;
      if (!sorted(own).equals(sorted(expected))) {
        flips++;
        float[] h =
            new Pointer(noisy + (long) Float.BYTES * EXPERTS * token).getFloatArray(0, EXPERTS);
        assertThat(gap(h, own, expected)).as("gap of a flipped token").isLessThan(1e-5);
      }
      if (replay && !Arrays.equals(own, expected)) {
        new Pointer(chosen + pair).write(0, expected, 0, K);
        new Pointer(gates + pair).write(0, cpus(gates + pair), 0, K);
      }
    }
  }

  /** What the CPU has in place of K words of the device. */
  private int[] cpus(long address) {
    int offset = Math.toIntExact(driver.offset(address) / Integer.BYTES);
    return Arrays.copyOfRange(workspace, offset, offset + K);
  }

  private static List<Integer> sorted(int[] experts) {
    return Arrays.stream(experts).sorted().boxed().toList();
  }

  /** How far apart, relative to ‖H‖, the last chosen of the two are. */
  private static double gap(float[] h, int[] own, int[] other) {
    double norm = 0;
    for (float value : h) {
      norm += (double) value * value;
    }
    return Math.abs(smallest(h, own) - smallest(h, other)) / Math.sqrt(norm);
  }

  private static double smallest(float[] h, int[] experts) {
    return Arrays.stream(experts).mapToDouble(i -> h[i]).min().orElseThrow();
  }
}
