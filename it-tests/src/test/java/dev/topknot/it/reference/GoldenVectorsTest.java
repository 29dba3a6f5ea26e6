package dev.topknot.it.reference;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The reference reproduces the vectors of an independent oracle to 1e-9. */
class GoldenVectorsTest {
  private static final double TOLERANCE = 1e-9;

  @ParameterizedTest
  @ValueSource(
      strings = {
        "flat-deep",
        "flat-gelu",
        "flat-noisy",
        "flat-noisy-k-is-n",
        "flat-noisy-one-token",
        "flat-noisy-zero-gate",
        "flat-plain",
        "flat-swiglu"
      })
  void flat(String name) {
    Vectors v = Vectors.load(name);
    JsonNode config = v.config();
    boolean noise = config.get("noise").asBoolean();
    Gating gating =
        new Gating(
            noise ? Gating.Kind.NOISY_TOP_K : Gating.Kind.TOP_K,
            config.get("k").asInt(),
            config.get("noiseFloor").asDouble(),
            v.input("gateWeights"),
            noise ? v.input("noiseWeights") : null);
    MoE moe =
        new MoE(
            gating,
            config.get("importanceLoss").asDouble(),
            config.get("loadLoss").asDouble(),
            experts(v, config.get("experts").asInt()));

    Matrix dy = v.input("dy");
    MoE.Forward pass = moe.forward(v.input("x"), noise ? v.input("noise") : null);

    assertThat(chosen(pass.gate())).isEqualTo(v.output("chosen").data());
    close("y", pass.y(), v.output("y"));
    close("gates", pass.gate().gates(), v.output("gates"));
    close("importance", Matrix.row(pass.importance()), v.output("importance"));
    close("load", Matrix.row(pass.load()), v.output("load"));
    close("importanceLoss", pass.importanceLoss(), v.output("importanceLoss"));
    close("loadLoss", pass.loadLoss(), v.output("loadLoss"));
    double total = pass.y().dot(dy) + pass.importanceLoss();
    close("total", pass.gate().smoothLoad() ? total + pass.loadLoss() : total, v.total());
    compareGradients(pass.backward(dy), v);
  }

  @Test
  void hierarchical() {
    Vectors v = Vectors.load("hierarchical");
    JsonNode config = v.config();
    int groups = config.get("groups").asInt();
    int tokens = config.get("tokens").asInt();
    List<Gating> secondary = new ArrayList<>();
    List<Matrix> secondaryNoise = new ArrayList<>();
    for (int i = 0; i < groups; i++) {
      secondary.add(gate(v, "secondary." + i + ".", config.get("secondaryK").asInt()));
      secondaryNoise.add(v.input("secondary.noise").rows(i * tokens, (i + 1) * tokens));
    }
    HierarchicalMoE moe =
        new HierarchicalMoE(
            gate(v, "primary.", config.get("primaryK").asInt()),
            secondary,
            config.get("importanceLoss").asDouble(),
            config.get("loadLoss").asDouble(),
            experts(v, groups * config.get("groupSize").asInt()));

    Matrix dy = v.input("dy");
    HierarchicalMoE.Forward pass =
        moe.forward(v.input("x"), v.input("primary.noise"), secondaryNoise);

    close("y", pass.y(), v.output("y"));
    close("gates", pass.gates(), v.output("gates"));
    close("importance", Matrix.row(pass.importance()), v.output("importance"));
    close("load", Matrix.row(pass.load()), v.output("load"));
    close("importanceLoss", pass.importanceLoss(), v.output("importanceLoss"));
    close("loadLoss", pass.loadLoss(), v.output("loadLoss"));
    close("total", pass.y().dot(dy) + pass.importanceLoss() + pass.loadLoss(), v.total());
    compareGradients(pass.backward(dy), v);
  }

  @Test
  void strictlyBalanced() {
    Vectors v = Vectors.load("strictly-balanced");
    JsonNode config = v.config();
    StrictlyBalancedMoE moe =
        new StrictlyBalancedMoE(
            config.get("k").asInt(),
            v.input("gateWeights"),
            v.input("thresholds").data(),
            1,
            experts(v, config.get("experts").asInt()));

    Matrix dy = v.input("dy");
    StrictlyBalancedMoE.Forward pass = moe.train(v.input("x"));

    close("y", pass.y(), v.output("y"));
    close("gates", pass.gates(), v.output("gates"));
    close("evalMask", pass.thresholdMask(), v.output("evalMask"));
    close("batchLoss", pass.batchLoss(), v.output("batchLoss"));
    close("total", pass.y().dot(dy) + pass.batchLoss(), v.total());
    compareGradients(pass.backward(dy), v);
  }

  @ParameterizedTest
  @ValueSource(strings = {"lstm", "lstm-projected"})
  void lstm(String name) {
    Vectors v = Vectors.load(name);
    Lstm lstm =
        new Lstm(
            v.input("inputWeights"),
            v.input("recurrentWeights"),
            v.input("bias"),
            v.hasInput("projection") ? v.input("projection") : null);

    Matrix dy = v.input("dy");
    Lstm.Forward pass = lstm.forward(v.input("x"), v.input("h0"), v.input("c0"));

    close("y", pass.y(), v.output("y"));
    close("h", pass.h(), v.output("h"));
    close("c", pass.c(), v.output("c"));
    close("total", pass.y().dot(dy), v.total());
    compareGradients(pass.backward(dy), v);
  }

  @Test
  void softmax() {
    Vectors v = Vectors.load("softmax");
    int[] targets = Arrays.stream(v.input("targets").data()).mapToInt(t -> (int) t).toArray();

    SoftmaxLoss.Forward pass =
        new SoftmaxLoss(v.input("weights"), null).forward(v.input("x"), targets);

    close("meanLoss", pass.meanLoss(), v.output("meanLoss"));
    close("total", pass.meanLoss(), v.total());
    compareGradients(pass.backward(), v);
  }

  @Test
  void adam() {
    Vectors v = Vectors.load("adam");
    JsonNode config = v.config();
    Matrix p = v.input("p0");
    Adam adam =
        new Adam(
            config.get("beta1").asDouble(),
            config.get("beta2").asDouble(),
            config.get("epsilon").asDouble(),
            p.rows(),
            p.columns());
    for (int step = 0; step < config.get("steps").asInt(); step++) {
      int from = step * p.rows();
      adam.step(p, v.input("gradients").rows(from, from + p.rows()), config.get("rate").asDouble());
      close("p after step " + step, p, v.output("p").rows(from, from + p.rows()));
    }
  }

  private static Gating gate(Vectors v, String prefix, int k) {
    return new Gating(
        Gating.Kind.NOISY_TOP_K,
        k,
        v.config().get("noiseFloor").asDouble(),
        v.input(prefix + "gateWeights"),
        v.input(prefix + "noiseWeights"));
  }

  private static List<Expert> experts(Vectors v, int count) {
    return IntStream.range(0, count)
        .mapToObj(
            i ->
                Expert.of(
                    v.config().get("activation").asText(),
                    IntStream.iterate(1, w -> v.hasInput("experts." + i + ".w" + w), w -> w + 1)
                        .mapToObj(w -> v.input("experts." + i + ".w" + w))
                        .toList()))
        .toList();
  }

  private static double[] chosen(Gating.Forward gate) {
    return Arrays.stream(gate.chosen()).flatMapToInt(Arrays::stream).asDoubleStream().toArray();
  }

  private static void compareGradients(Gradients actual, Vectors v) {
    assertThat(v.gradients()).isNotEmpty();
    for (String name : v.gradients()) {
      close("d" + name, name.equals("x") ? actual.x() : actual.get(name), v.gradient(name));
    }
  }

  private static void close(String name, double actual, Matrix expected) {
    close(name, actual, expected.get(0, 0));
  }

  private static void close(String name, double actual, double expected) {
    close(name, Matrix.row(actual), Matrix.row(expected));
  }

  /** Compares value by value, relative to the value or, near zero, to 1. */
  private static void close(String name, Matrix actual, Matrix expected) {
    assertThat(actual.data()).as(name).hasSameSizeAs(expected.data());
    for (int i = 0; i < actual.data().length; i++) {
      double q = expected.data()[i];
      assertThat(Math.abs(actual.data()[i] - q) / Math.max(1, Math.abs(q)))
          .as("%s[%d]", name, i)
          .isLessThanOrEqualTo(TOLERANCE);
    }
  }
}
