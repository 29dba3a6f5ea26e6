package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.cuda.EmulatedDevices;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Matrix;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Deep, several, shared and recomputed experts: devices, programs and numbers of kinds agree. */
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

  /** It does not matter to an expert what kind others are of; in a hierarchy as well. */
  @Test
  void alikeKindsGiveTheBitsOfOne() {
    for (Device device : List.of(Device.cpu(2), EmulatedDevices.all().get(0))) {
      try (MoE one = TopknotExpertSpecs_OneKind.on(device, SEED);
          MoE kinds = TopknotExpertSpecs_AlikeKinds.on(device, SEED)) {
        Values.draw(one.parameters(), SEED);
        Map<String, float[]> values = byName(one, Parameter::value);
        kinds.parameters().forEach(p -> p.value().copyFrom(values.get(p.name())));
        List<float[]> expected = step(one, device);
        List<float[]> actual = step(kinds, device);
        for (int i = 0; i < expected.size(); i++) {
          assertThat(actual.get(i)).as("result %d", i).isEqualTo(expected.get(i));
        }
        Map<String, float[]> gradients = byName(one, Parameter::gradient);
        byName(kinds, Parameter::gradient)
            .forEach((name, g) -> assertThat(g).as(name).isEqualTo(gradients.get(name)));
      }
    }
  }

  private static Map<String, float[]> byName(MoE layer, Function<Parameter, Tensor> part) {
    return layer.parameters().stream()
        .collect(Collectors.toMap(Parameter::name, p -> Values.floats(part.apply(p))));
  }

  /** The output and the input's gradient of 30 tokens. */
  private static List<float[]> step(MoE layer, Device device) {
    Draw draw = new Draw(3);
    try (Tensor x = Values.tensor(device, draw.normal(30, 21, 1));
        Tensor y = Values.poisoned(device, 30, 21);
        Tensor dy = Values.tensor(device, draw.normal(30, 21, 1));
        Tensor dx = Values.poisoned(device, 30, 21)) {
      layer.forward(x, y);
      layer.backward(dy, dx);
      return List.of(Values.floats(y), Values.floats(dx));
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
