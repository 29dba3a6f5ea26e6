package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.Precision;
import dev.topknot.it.reference.Activation;
import dev.topknot.it.reference.Adam;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Gating;
import dev.topknot.it.reference.LanguageModel;
import dev.topknot.it.reference.LanguageModel.FullyConnected;
import dev.topknot.it.reference.LanguageModel.Input;
import dev.topknot.it.reference.LanguageModel.Mixed;
import dev.topknot.it.reference.LanguageModel.Recurrent;
import dev.topknot.it.reference.LanguageModel.Words;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.MoE;
import dev.topknot.it.reference.Modifiers;
import dev.topknot.it.reference.Products;
import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Evaluation;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Routing;
import dev.topknot.runtime.Step;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.Noise;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** A model as the processor generates it against the reference, through the public interface. */
class GeneratedModelTest {
  private static final long SEED = 11;
  private static final int BATCH = 3;
  private static final int TOKENS = 33;
  private static final int VOCABULARY = 50;

  /** Where the model runs: results have the same bits on all of them. */
  List<Device> devices() {
    return List.of(Device.cpu(1), Device.cpu(2));
  }

  /** Makes useless what an earlier step left in memory that steps only work in. */
  void poison(Device device) {}

  /** What the device does to operands of products: the CPU nothing, whatever the precision. */
  Products products(Precision precision) {
    return Products.EXACT;
  }

  /** The model in some precision. */
  private static dev.topknot.runtime.LanguageModel on(Device device, Precision precision) {
    return precision == Precision.BF16
        ? TopknotSpecs_RoundedModel.on(device, SEED)
        : TopknotSpecs_Model.on(device, SEED);
  }

  /** The layers of {@link Specs.Model} and {@link Specs.RoundedModel}, in order. */
  private static final List<LanguageModel.Layer> LAYERS =
      List.of(
          new Words("words", new Modifiers(Activation.IDENTITY, (float) 0.2, false)),
          new Recurrent("below", new Modifiers(Activation.IDENTITY, (float) 0.1, true)),
          new Mixed(
              "experts",
              Gating.Kind.NOISY_TOP_K,
              2,
              (float) 0.01,
              0.1,
              0.1,
              "RELU",
              new Modifiers(Activation.SIGMOID, (float) 0.1, true)),
          new Mixed("switched", Gating.Kind.SOFTMAX_TOP_K, 1, 0, 0.1, 0.1, "GELU", Modifiers.NONE),
          new FullyConnected("wide", Activation.GELU, Modifiers.NONE),
          new Mixed(
              "twin",
              Gating.Kind.TOP_K,
              1,
              0,
              0,
              0,
              "TANH",
              new Modifiers(Activation.IDENTITY, 0, true)),
          new Recurrent("above", Modifiers.NONE));

  private static final Map<String, Integer> WIDTHS = Map.of("words", 8, "below", 8, "experts", 8);

  private static Batch batch(long seed, int valid) {
    Draw draw = new Draw(seed);
    return new Batch(draw.ids(TOKENS, VOCABULARY), draw.ids(TOKENS, VOCABULARY), valid);
  }

  /** What the model's reference reads in training: noise and masks as they are specified. */
  private static Input training(Batch batch, State state, int step, int firstToken) {
    Map<String, Matrix> keep = new HashMap<>();
    for (int i = 0; i < LAYERS.size(); i++) {
      LanguageModel.Layer layer = LAYERS.get(i);
      double dropout = layer.modifiers().dropout();
      if (dropout > 0) {
        keep.put(
            layer.name(), keep(i, step, firstToken, WIDTHS.get(layer.name()), (float) dropout));
      }
    }
    int stream = Noise.stream(2, Noise.Purpose.GATE, 0);
    Matrix noise = LayerCase.noise(firstToken, TOKENS, 5, SEED, step, stream);
    return new Input(
        BATCH,
        batch.valid(),
        list(batch.inputs()),
        list(batch.targets()),
        state.h,
        state.c,
        Map.of("experts", noise),
        keep,
        Map.of());
  }

  private static Matrix keep(int layer, int step, int firstToken, int width, float dropout) {
    Matrix keep = Matrix.zeros(TOKENS, width);
    float[] uniform = new float[width];
    for (int t = 0; t < TOKENS; t++) {
      int stream = Noise.stream(layer, Noise.Purpose.DROPOUT, 0);
      Noise.uniforms(SEED, step, firstToken + t, stream, uniform, 0, width);
      for (int j = 0; j < width; j++) {
        keep.set(t, j, uniform[j] >= dropout ? 1 : 0);
      }
    }
    return keep;
  }

  private static Input evaluation(int batch, int[] inputs, int[] targets, int valid, State state) {
    return new Input(
        batch, valid, list(inputs), list(targets), state.h, state.c, Map.of(), Map.of(), Map.of());
  }

  private static List<Integer> list(int[] values) {
    return Arrays.stream(values).boxed().toList();
  }

  /** What the LSTMs carry from batch to batch. */
  private record State(Map<String, Matrix> h, Map<String, Matrix> c) {
    static final State ZERO = new State(Map.of(), Map.of());

    static State after(LanguageModel.Forward pass, int valid) {
      Map<String, Matrix> h = new HashMap<>();
      Map<String, Matrix> c = new HashMap<>();
      for (String layer : List.of("below", "above")) {
        h.put(layer, pass.lstm(layer).h(valid));
        c.put(layer, pass.lstm(layer).c(valid));
      }
      return new State(h, c);
    }
  }

  private LanguageModel reference(List<Parameter> parameters, Precision precision) {
    return new LanguageModel(LAYERS, "next", Values.values(parameters), products(precision));
  }

  private void close(String name, double actual, double reference, Precision precision) {
    close(name, Matrix.row(actual), Matrix.row(reference), precision);
  }

  private void close(String name, Matrix actual, Matrix reference, Precision precision) {
    Close.check(name, actual, reference, products(precision));
  }

  /** Loss, gradients, update and carried state over three batches, one with an unfinished step. */
  @ParameterizedTest
  @CsvSource({"0, FP32", "1, FP32", "0, BF16", "1, BF16"})
  void training(int which, Precision precision) {
    Device device = devices().get(which);
    try (dev.topknot.runtime.LanguageModel model = on(device, precision)) {
      Values.draw(model.parameters(), SEED);
      Map<String, Adam> adam = new HashMap<>();
      State state = State.ZERO;
      int[] valid = {TOKENS, 20, TOKENS};
      for (int step = 0; step < valid.length; step++) {
        Batch batch = batch(step, valid[step]);
        LanguageModel.Forward reference =
            reference(model.parameters(), precision).forward(training(batch, state, step, 0));
        Values.poisonGradients(model.parameters());
        poison(device);

        close("loss", model.accumulate(batch), reference.softmax().meanLoss(), precision);
        checkBalance(model, reference, precision);
        Map<String, Matrix> expected = reference.backward();
        Map<String, Matrix> gradients = Values.gradients(model.parameters());
        gradients.forEach((name, g) -> close("d" + name, g, expected.get(name), precision));

        // The optimizer is compared on equal gradients: the device's.
        Map<String, Matrix> parameters = Values.values(model.parameters());
        Step done = model.update(Update.of(0.01));
        close("loss", done.loss(), reference.softmax().meanLoss(), precision);
        assertThat(done.tokens()).isEqualTo(batch.valid());
        parameters.forEach(
            (name, p) ->
                adam.computeIfAbsent(name, n -> new Adam(0.9, 0.999, 1e-8, p.rows(), p.columns()))
                    .step(p, gradients.get(name), 0.01));
        Values.values(model.parameters())
            .forEach((name, p) -> Close.check(name, p, parameters.get(name)));
        state = State.after(reference, batch.valid());
      }
    }
  }

  private void checkBalance(
      dev.topknot.runtime.LanguageModel model,
      LanguageModel.Forward reference,
      Precision precision) {
    for (String layer : List.of("experts", "switched")) {
      MoE.Forward moe = reference.moe(layer);
      Balance balance = model.balance(layer);
      assertThat(balance.tokens())
          .as("tokens of each expert")
          .isEqualTo(Values.counts(moe.gate().chosen(), moe.load().length));
      close(
          layer + ".importance",
          Matrix.row(balance.importance()),
          Matrix.row(moe.importance()),
          precision);
      close(layer + ".load", Matrix.row(balance.load()), Matrix.row(moe.load()), precision);
    }
  }

  /** Two micro-batches give the mean of their gradients; the second goes on from the first. */
  @ParameterizedTest
  @EnumSource
  void accumulation(Precision precision) {
    try (dev.topknot.runtime.LanguageModel model = on(devices().get(1), precision)) {
      Values.draw(model.parameters(), SEED);
      LanguageModel reference = reference(model.parameters(), precision);
      Batch first = batch(1, TOKENS);
      Batch second = batch(2, 25);
      LanguageModel.Forward one = reference.forward(training(first, State.ZERO, 0, 0));
      LanguageModel.Forward two =
          reference.forward(training(second, State.after(one, TOKENS), 0, TOKENS));

      close("first loss", model.accumulate(first), one.softmax().meanLoss(), precision);
      close("second loss", model.accumulate(second), two.softmax().meanLoss(), precision);
      Map<String, Matrix> of1 = one.backward();
      Map<String, Matrix> of2 = two.backward();
      Values.gradients(model.parameters())
          .forEach(
              (name, g) ->
                  close("d" + name, g, of1.get(name).plus(of2.get(name)).scaled(0.5), precision));
    }
  }

  /** Noise and dropout off, state carried from batch to batch, every valid token counted once. */
  @ParameterizedTest
  @EnumSource
  void evaluation(Precision precision) {
    try (dev.topknot.runtime.LanguageModel model = on(devices().get(1), precision);
        dev.topknot.runtime.LanguageModel other = model.inference()) {
      Values.draw(model.parameters(), SEED);
      LanguageModel reference = reference(model.parameters(), precision);
      List<Batch> batches = List.of(batch(5, TOKENS), batch(6, 31));
      double sum = 0;
      State state = State.ZERO;
      Map<Batch, LanguageModel.Forward> passes = new HashMap<>();
      for (Batch b : batches) {
        LanguageModel.Forward pass =
            reference.forward(evaluation(BATCH, b.inputs(), b.targets(), b.valid(), state));
        sum += pass.softmax().meanLoss() * b.valid();
        state = State.after(pass, b.valid());
        passes.put(b, pass);
      }
      for (dev.topknot.runtime.LanguageModel m : List.of(model, other)) {
        Evaluation evaluation = m.evaluate(batches);
        close("loss", evaluation.loss(), sum / (TOKENS + 31), precision);
        assertThat(evaluation.tokens()).isEqualTo(TOKENS + 31);
        List<Batch> routed = new ArrayList<>();
        Evaluation again =
            m.evaluate(
                batches,
                (batch, routings) -> {
                  checkRouting(routings, passes.get(batch), batch.valid(), precision);
                  routed.add(batch);
                });
        assertThat(routed).isEqualTo(batches);
        assertThat(again).isEqualTo(evaluation);
      }
    }
  }

  /** Each valid token's experts, the best first, and their gates: what the layers after it left. */
  private void checkRouting(
      List<Routing> routings, LanguageModel.Forward reference, int valid, Precision precision) {
    assertThat(routings).extracting(Routing::layer).containsExactly("experts", "switched");
    assertThat(routings).extracting(Routing::k).containsExactly(2, 1);
    for (Routing routing : routings) {
      Gating.Forward gate = reference.moe(routing.layer()).gate();
      assertThat(routing.tokens()).isEqualTo(valid);
      Matrix gates = Matrix.zeros(valid, gate.gates().columns());
      for (int t = 0; t < valid; t++) {
        int token = t;
        assertThat(IntStream.range(0, routing.k()).map(i -> routing.expert(token, i)).toArray())
            .isEqualTo(gate.chosen()[t]);
        for (int i = 0; i < routing.k(); i++) {
          gates.set(t, routing.expert(t, i), routing.gate(t, i));
        }
      }
      close(routing.layer() + ".gates", gates, gate.gates(), precision);
    }
  }

  /** At temperature 0 the most probable token follows, and is read in turn. */
  @ParameterizedTest
  @EnumSource
  void generation(Precision precision) {
    try (dev.topknot.runtime.LanguageModel model = on(devices().get(0), precision)) {
      Values.draw(model.parameters(), SEED);
      LanguageModel reference = reference(model.parameters(), precision);
      int[] prompt = {3, 14, 15};
      List<Integer> text = new ArrayList<>(list(prompt));
      for (int i = 0; i < 6; i++) {
        int[] read = text.stream().mapToInt(Integer::intValue).toArray();
        Matrix probabilities =
            reference
                .forward(evaluation(1, read, new int[read.length], read.length, State.ZERO))
                .softmax()
                .probabilities();
        text.add(largest(probabilities.rows(read.length - 1, read.length).data()));
      }
      assertThat(model.generate(prompt, 6, 0).boxed().toList())
          .isEqualTo(text.subList(prompt.length, text.size()));
    }
  }

  private static int largest(double[] values) {
    int largest = 0;
    for (int i = 1; i < values.length; i++) {
      largest = values[i] > values[largest] ? i : largest;
    }
    return largest;
  }

  @ParameterizedTest
  @EnumSource
  void sameBitsHoweverItRuns(Precision precision) {
    List<Device> devices = devices();
    List<float[]> first = bits(devices.get(0), precision);
    for (int d = 1; d < devices.size(); d++) {
      List<float[]> other = bits(devices.get(d), precision);
      for (int i = 0; i < first.size(); i++) {
        assertThat(Arrays.equals(first.get(i), other.get(i)))
            .as("parameter %d on device %d", i, d)
            .isTrue();
      }
    }
  }

  /** The parameters after three steps. */
  private List<float[]> bits(Device device, Precision precision) {
    try (dev.topknot.runtime.LanguageModel model = on(device, precision)) {
      for (int step = 0; step < 3; step++) {
        poison(device);
        model.train(batch(step, TOKENS - step), Update.of(0.01).withClip(1));
      }
      return model.parameters().stream().map(p -> Values.floats(p.value())).toList();
    }
  }
}
