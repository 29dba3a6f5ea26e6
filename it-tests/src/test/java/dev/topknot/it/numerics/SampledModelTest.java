package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.Precision;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Embedding;
import dev.topknot.it.reference.Gradients;
import dev.topknot.it.reference.Lstm;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.Pass;
import dev.topknot.it.reference.Products;
import dev.topknot.it.reference.SampledSoftmaxLoss;
import dev.topknot.it.reference.SoftmaxLoss;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.LogUniform;
import dev.topknot.runtime.cpu.Noise;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A generated model whose softmax is sampled in training, and whose recurrent layer is projected,
 * against the reference, through the public interface.
 */
class SampledModelTest {
  private static final long SEED = 11;
  private static final int BATCH = 3;
  private static final int TOKENS = 21;
  private static final int VOCABULARY = 100;
  private static final int SAMPLES = 25;

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

  private static LanguageModel on(Device device, Precision precision) {
    return precision == Precision.BF16
        ? TopknotSpecs_RoundedSampled.on(device, SEED)
        : TopknotSpecs_Sampled.on(device, SEED);
  }

  private static Batch batch(long seed, int valid) {
    Draw draw = new Draw(seed);
    return new Batch(draw.ids(TOKENS, VOCABULARY), draw.ids(TOKENS, VOCABULARY), valid);
  }

  /** The candidates as they are specified. */
  private static SampledSoftmaxLoss sampled(
      Map<String, Matrix> parameters, int step, int firstToken, Products products) {
    LogUniform law = new LogUniform(VOCABULARY);
    int[] candidates = new int[SAMPLES];
    law.draw(SEED, step, firstToken, Noise.stream(2, Noise.Purpose.SAMPLE, 0), candidates);
    return new SampledSoftmaxLoss(
        parameters.get("next.weight"),
        parameters.get("next.bias"),
        Arrays.stream(candidates).boxed().toList(),
        id -> SAMPLES * law.probability(id),
        products);
  }

  /** The layers below the softmax. */
  private static final class Below {
    private final Pass words;
    private final Lstm.Forward lstm;

    Below(Map<String, Matrix> parameters, Batch batch, Matrix h, Matrix c, Products products) {
      words = new Embedding(parameters.get("words.weight")).forward(batch.inputs());
      lstm =
          new Lstm(
                  parameters.get("below.weight_ih"),
                  parameters.get("below.weight_hh"),
                  parameters.get("below.bias"),
                  parameters.get("below.weight_hr"),
                  products)
              .forward(words.y(), h, c);
    }

    Matrix y() {
      return lstm.y().plus(words.y());
    }

    Map<String, Matrix> backward(Gradients softmax) {
      Matrix dy = softmax.x().resized(TOKENS);
      Gradients gradients = lstm.backward(dy);
      Map<String, Matrix> all = new HashMap<>();
      all.put("next.weight", softmax.get("weights"));
      all.put("next.bias", softmax.get("bias"));
      all.put("below.weight_ih", gradients.get("inputWeights"));
      all.put("below.weight_hh", gradients.get("recurrentWeights"));
      all.put("below.bias", gradients.get("bias"));
      all.put("below.weight_hr", gradients.get("projection"));
      all.put("words.weight", words.backward(gradients.x().plus(dy)).get("weights"));
      return all;
    }
  }

  private static Matrix zero(int columns) {
    return Matrix.zeros(BATCH, columns);
  }

  private static int[] targets(Batch batch) {
    return Arrays.copyOf(batch.targets(), batch.valid());
  }

  private void close(String name, double actual, double reference, Precision precision) {
    Close.check(name, Matrix.row(actual), Matrix.row(reference), products(precision));
  }

  /** Loss and gradients over three steps, one with fewer tokens, state carried between them. */
  @ParameterizedTest
  @CsvSource({"0, FP32", "1, FP32", "0, BF16", "1, BF16"})
  void training(int which, Precision precision) {
    Device device = devices().get(which);
    Products products = products(precision);
    try (LanguageModel model = on(device, precision)) {
      Values.draw(model.parameters(), SEED);
      Matrix h = zero(12);
      Matrix c = zero(17);
      int[] valid = {TOKENS, 13, TOKENS};
      for (int step = 0; step < valid.length; step++) {
        Batch batch = batch(step, valid[step]);
        Map<String, Matrix> parameters = Values.values(model.parameters());
        Below below = new Below(parameters, batch, h, c, products);
        SampledSoftmaxLoss.Forward softmax =
            sampled(parameters, step, 0, products)
                .forward(below.y().resized(batch.valid()), targets(batch));
        Values.poisonGradients(model.parameters());
        poison(device);

        close("loss", model.accumulate(batch), softmax.meanLoss(), precision);
        Map<String, Matrix> expected = below.backward(softmax.backward());
        Values.gradients(model.parameters())
            .forEach((name, g) -> Close.check("d" + name, g, expected.get(name), products));
        close("loss", model.update(Update.of(0.01)).loss(), softmax.meanLoss(), precision);
        h = below.lstm.h(batch.valid());
        c = below.lstm.c(batch.valid());
      }
    }
  }

  /** Two micro-batches have candidates of their own, and the mean of their gradients. */
  @ParameterizedTest
  @EnumSource
  void accumulation(Precision precision) {
    Products products = products(precision);
    try (LanguageModel model = on(devices().get(1), precision)) {
      Values.draw(model.parameters(), SEED);
      Map<String, Matrix> parameters = Values.values(model.parameters());
      Batch first = batch(1, TOKENS);
      Batch second = batch(2, 16);
      Below one = new Below(parameters, first, zero(12), zero(17), products);
      Below two = new Below(parameters, second, one.lstm.h(), one.lstm.c(), products);
      SampledSoftmaxLoss.Forward softmax1 =
          sampled(parameters, 0, 0, products).forward(one.y(), first.targets());
      SampledSoftmaxLoss.Forward softmax2 =
          sampled(parameters, 0, TOKENS, products)
              .forward(two.y().resized(second.valid()), targets(second));

      close("first loss", model.accumulate(first), softmax1.meanLoss(), precision);
      close("second loss", model.accumulate(second), softmax2.meanLoss(), precision);
      Map<String, Matrix> of1 = one.backward(softmax1.backward());
      Map<String, Matrix> of2 = two.backward(softmax2.backward());
      Values.gradients(model.parameters())
          .forEach(
              (name, g) ->
                  Close.check(
                      "d" + name, g, of1.get(name).plus(of2.get(name)).scaled(0.5), products));
    }
  }

  /** The full softmax. */
  @ParameterizedTest
  @EnumSource
  void evaluation(Precision precision) {
    Products products = products(precision);
    try (LanguageModel model = on(devices().get(1), precision)) {
      Values.draw(model.parameters(), SEED);
      Map<String, Matrix> parameters = Values.values(model.parameters());
      Batch batch = batch(5, 19);
      Below below = new Below(parameters, batch, zero(12), zero(17), products);
      SoftmaxLoss.Forward full =
          new SoftmaxLoss(parameters.get("next.weight"), parameters.get("next.bias"), products)
              .forward(below.y().resized(batch.valid()), targets(batch));
      close("loss", model.evaluate(List.of(batch)).loss(), full.meanLoss(), precision);
    }
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
    try (LanguageModel model = on(device, precision)) {
      for (int step = 0; step < 3; step++) {
        poison(device);
        model.train(batch(step, TOKENS - step), Update.of(0.01).withClip(1));
      }
      return model.parameters().stream().map(p -> Values.floats(p.value())).toList();
    }
  }
}
