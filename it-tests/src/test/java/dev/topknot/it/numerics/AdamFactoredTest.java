package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Dense;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Expert;
import dev.topknot.dsl.Gating;
import dev.topknot.dsl.Lstm;
import dev.topknot.dsl.MoELayer;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Softmax;
import dev.topknot.it.reference.Adam;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.Training;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Layers and models with the optimizer {@code ADAM_FACTORED}, as the processor generates them. */
class AdamFactoredTest {
  private static final long SEED = 5;
  private static final int STEPS = 4;

  /** Matrices of 258 x 514 and 514 x 258: several tiles down and across. */
  @MoELayer(experts = 2, k = 2, width = 514, tokens = 3, optimizer = Optimizer.ADAM_FACTORED)
  @Expert(hidden = 258)
  interface Tiles extends MoE {}

  /** Matrices of one row, of one column, and of a few. */
  @SuppressWarnings("TK031") // a gate that does not learn
  @MoELayer(
      experts = 9,
      k = 1,
      width = 1,
      tokens = 7,
      gating = Gating.TOP_K,
      optimizer = Optimizer.ADAM_FACTORED)
  @Expert(hidden = 3, activation = ActivationFunction.SWIGLU)
  interface Lines extends MoE {}

  /** With biases, and a softmax of several tiles. */
  @MoEModel(batch = 2, timesteps = 3, optimizer = Optimizer.ADAM_FACTORED)
  interface Model extends LanguageModel {
    @Embedding(vocabulary = 270, width = 8)
    Layer words();

    @Lstm(units = 8)
    Layer below();

    @MoELayer(experts = 4, k = 1, gating = Gating.SOFTMAX_TOP_K)
    @Expert(hidden = 7)
    MoE experts();

    @Dense(units = 530, activation = ActivationFunction.TANH)
    Layer wide();

    @Softmax(vocabulary = 270)
    Layer next();
  }

  /** Where they run: results have the same bits on all of them. */
  List<Device> devices() {
    return List.of(Device.cpu(1), Device.cpu(2));
  }

  /** Makes useless what an earlier step left in memory that steps only work in. */
  void poison(Device device) {}

  static List<Function<Device, MoE>> layers() {
    return List.of(
        device -> TopknotAdamFactoredTest_Tiles.on(device, SEED),
        device -> TopknotAdamFactoredTest_Lines.on(device, SEED));
  }

  /** Forward and backward, so that an update may follow, whatever the gradients. */
  private void pass(MoE layer, Device device) {
    long width = layer.parameters().get(0).shape()[1]; // of the gate
    try (Tensor x = device.tensor(2, width);
        Tensor y = device.tensor(2, width)) {
      x.fill(0.5f);
      layer.forward(x, y);
      layer.backward(x, y);
    }
    poison(device);
  }

  /** Sets gradients as they were drawn, those of expert 1 to zero. */
  private static Map<String, Matrix> drawGradients(MoE layer, Draw draw, double scale) {
    Map<String, Matrix> gradients = new HashMap<>();
    Values.gradients(layer.parameters())
        .forEach(
            (name, g) -> {
              double size = name.startsWith("experts.1.") ? 0 : scale;
              gradients.put(name, draw.normal(g.rows(), g.columns(), size).rounded());
            });
    for (Parameter parameter : layer.parameters()) {
      parameter.gradient().copyFrom(gradients.get(parameter.name()).toFloats());
    }
    return gradients;
  }

  /** The parameters, which begin at zero, after each step on equal gradients. */
  @ParameterizedTest
  @MethodSource("layers")
  void agreesWithTheReference(Function<Device, MoE> open) {
    Device device = devices().get(0);
    try (MoE layer = open.apply(device)) {
      layer.parameters().forEach(parameter -> parameter.value().fill(0));
      Parameter frozen = layer.parameters().get(layer.parameters().size() - 1);
      Map<String, Matrix> expected = Values.values(layer.parameters());
      Map<String, Adam> adam = new HashMap<>();
      expected.forEach(
          (name, p) -> adam.put(name, Adam.factored(0.99, 1e-8, p.rows(), p.columns())));
      Draw draw = new Draw(SEED);
      for (int step = 0; step < STEPS; step++) {
        pass(layer, device);
        frozen.freeze(step == 2);
        Map<String, Matrix> gradients = drawGradients(layer, draw, 1 + step);
        if (frozen.frozen()) {
          gradients.remove(frozen.name());
          adam.get(frozen.name()).skip();
        }
        double norm = Training.globalNorm(gradients.values());
        double rate = 0.01 / (1 + step);
        double clip = step == 1 ? norm / 3 : Double.POSITIVE_INFINITY;
        // beta1 is ignored
        Update update = new Update(rate, step == 0 ? 0.5 : 0, 0.99, 1e-8, clip);
        Close.check("norm", Matrix.row(layer.update(update)), Matrix.row(norm));
        double factor = Training.clippingFactor(gradients.values(), clip);
        gradients.forEach(
            (name, g) -> adam.get(name).step(expected.get(name), g.scaled(factor), rate));
        String when = " after step " + step;
        Values.values(layer.parameters())
            .forEach(
                (name, p) -> {
                  if (name.startsWith("experts.1.")) {
                    assertThat(p.data()).as(name + when).containsOnly(0);
                  } else {
                    Close.check(name + when, p, expected.get(name));
                  }
                });
      }
    }
  }

  /** Squares that no float holds, and such that are zero as floats. */
  @ParameterizedTest
  @ValueSource(doubles = {1e25, 1e-25, 0})
  void hugeAndTinyGradients(double scale) {
    Device device = devices().get(0);
    try (MoE layer = layers().get(0).apply(device)) {
      Map<String, Matrix> before = Values.values(layer.parameters());
      for (int step = 0; step < 2; step++) {
        pass(layer, device);
        drawGradients(layer, new Draw(step), scale);
        layer.update(Update.of(0.01));
      }
      Values.values(layer.parameters())
          .forEach(
              (name, p) -> {
                double moved =
                    p.plus(before.get(name).scaled(-1)).norm() / Math.sqrt(p.data().length);
                boolean moves = scale > 1 && !name.startsWith("experts.1.");
                assertThat(moved).as(name).isBetween(moves ? 1e-3 : 0, moves ? 0.1 : 1e-12);
              });
    }
  }

  /** A norm that is not finite changes nothing: training goes on as if it had not been. */
  @Test
  void refusesGradientsThatAreNotFinite() {
    Device device = devices().get(1);
    try (MoE layer = layers().get(1).apply(device);
        MoE unharmed = layers().get(1).apply(device)) {
      for (int step = 0; step < 3; step++) {
        if (step == 1) {
          pass(layer, device);
          drawGradients(layer, new Draw(step), 1);
          layer.parameters().get(2).gradient().fill(Float.NaN);
          assertThatExceptionOfType(NonFiniteException.class)
              .isThrownBy(() -> layer.update(Update.of(0.01)));
        }
        for (MoE each : List.of(layer, unharmed)) {
          pass(each, device);
          drawGradients(each, new Draw(step), 1);
          each.update(Update.of(0.01));
        }
      }
      assertThat(bits(layer.parameters())).isEqualTo(bits(unharmed.parameters()));
    }
  }

  @ParameterizedTest
  @MethodSource("layers")
  void aLayerHasTheSameBitsHoweverItRuns(Function<Device, MoE> open) {
    List<List<Float>> results = new ArrayList<>();
    for (Device device : devices()) {
      try (MoE layer = open.apply(device)) {
        for (int step = 0; step < 2; step++) {
          pass(layer, device);
          drawGradients(layer, new Draw(step), 1);
          layer.update(Update.of(0.01).withClip(1));
        }
        results.add(bits(layer.parameters()));
      }
    }
    assertThat(results).allSatisfy(it -> assertThat(it).isEqualTo(results.get(0)));
  }

  /** A model's own gradients, of two micro-batches, and biases. */
  @Test
  void aModelAgreesWithTheReference() {
    Device device = devices().get(1);
    try (LanguageModel model = TopknotAdamFactoredTest_Model.on(device, SEED)) {
      Map<String, Matrix> start = Values.values(model.parameters());
      Map<String, Matrix> expected = Values.values(model.parameters());
      Map<String, Adam> adam = new HashMap<>();
      expected.forEach(
          (name, p) -> adam.put(name, Adam.factored(0.999, 1e-8, p.rows(), p.columns())));
      for (int step = 0; step < 3; step++) {
        model.accumulate(batch(2L * step));
        model.accumulate(batch(2L * step + 1));
        Map<String, Matrix> gradients = Values.gradients(model.parameters());
        model.update(Update.of(0.1));
        gradients.forEach((name, g) -> adam.get(name).step(expected.get(name), g, 0.1));
        Values.values(model.parameters())
            .forEach(
                (name, p) -> {
                  Matrix from = start.get(name).scaled(-1);
                  Close.check("way of " + name, p.plus(from), expected.get(name).plus(from));
                });
      }
    }
  }

  /** A step in one call or in two, on every device; and from a checkpoint on. */
  @Test
  void aModelHasTheSameBitsHoweverItRuns(@TempDir Path directory) throws IOException {
    Path file = directory.resolve("model.safetensors");
    Update update = Update.of(0.01).withClip(0.5);
    List<List<Float>> results = new ArrayList<>();
    for (Device device : devices()) {
      try (LanguageModel model = TopknotAdamFactoredTest_Model.on(device, SEED);
          LanguageModel resumed = TopknotAdamFactoredTest_Model.on(device, SEED)) {
        for (int step = 0; step < 4; step++) {
          if (step == 2) {
            model.save(file);
            resumed.load(file);
            assertThat(resumed.step()).isEqualTo(2);
          }
          poison(device);
          model.train(batch(step), update);
          if (step >= 2) {
            resumed.accumulate(batch(step));
            resumed.update(update);
          }
        }
        results.add(bits(model.parameters()));
        results.add(bits(resumed.parameters()));
      }
    }
    assertThat(results).allSatisfy(it -> assertThat(it).isEqualTo(results.get(0)));
  }

  private static Batch batch(long seed) {
    Draw draw = new Draw(seed);
    return new Batch(draw.ids(6, 270), draw.ids(6, 270), 5);
  }

  private static List<Float> bits(List<Parameter> parameters) {
    List<Float> bits = new ArrayList<>();
    for (Parameter parameter : parameters) {
      for (float value : Values.floats(parameter.value())) {
        bits.add(value);
      }
    }
    return bits;
  }
}
