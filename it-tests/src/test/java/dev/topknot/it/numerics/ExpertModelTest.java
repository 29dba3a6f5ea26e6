package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.cuda.EmulatedDevices;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Matrix;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Update;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/** Models with deep, several, shared and recomputed experts: devices and programs agree. */
class ExpertModelTest {
  private static final long SEED = 5;
  private static final int TOKENS = 15;
  private static final int VOCABULARY = 30;

  private static Batch batch(long seed, int valid) {
    Draw draw = new Draw(seed);
    return new Batch(draw.ids(TOKENS, VOCABULARY), draw.ids(TOKENS, VOCABULARY), valid);
  }

  private static LanguageModel recomputed(Device device) {
    return TopknotExpertSpecs_RecomputedModel.on(device, SEED);
  }

  private static LanguageModel kept(Device device) {
    return TopknotExpertSpecs_NotRecomputedModel.on(device, SEED);
  }

  /** The layers' memory is shared, so what one leaves must outlive another's. */
  @Test
  void recomputingGivesTheSameBits() {
    for (List<Device> devices :
        List.of(List.of(Device.cpu(1), Device.cpu(2)), EmulatedDevices.all())) {
      float[][] expected = bits(ExpertModelTest::kept, devices.get(0));
      for (Device device : devices) {
        assertThat(bits(ExpertModelTest::recomputed, device)).isDeepEqualTo(expected);
      }
    }
  }

  private static float[][] bits(Function<Device, LanguageModel> open, Device device) {
    try (LanguageModel model = open.apply(device)) {
      for (int step = 0; step < 3; step++) {
        model.train(batch(step, TOKENS - 2 * step), Update.of(0.01).withClip(1));
      }
      return model.parameters().stream().map(p -> Values.floats(p.value())).toArray(float[][]::new);
    }
  }

  /** Noise and dropout included. */
  @Test
  void devicesAgree() {
    try (LanguageModel cpu = recomputed(Device.cpu(2));
        LanguageModel cuda = recomputed(EmulatedDevices.all().get(0))) {
      Values.draw(cpu.parameters(), SEED);
      Values.draw(cuda.parameters(), SEED);
      Batch batch = batch(9, 13);
      Close.check("loss", Matrix.row(cuda.accumulate(batch)), Matrix.row(cpu.accumulate(batch)));
      assertThat(cuda.balance("experts").tokens()).isEqualTo(cpu.balance("experts").tokens());
      Map<String, Matrix> expected = Values.gradients(cpu.parameters());
      Values.gradients(cuda.parameters())
          .forEach((name, g) -> Close.check("d" + name, g, expected.get(name)));

      List<Batch> batches = List.of(batch(10, TOKENS), batch(11, 7));
      Close.check(
          "evaluated loss",
          Matrix.row(cuda.evaluate(batches).loss()),
          Matrix.row(cpu.evaluate(batches).loss()));
      int[] prompt = {3, 14};
      assertThat(cuda.generate(prompt, 6, 0).toArray())
          .isEqualTo(cpu.generate(prompt, 6, 0).toArray());
    }
  }
}
