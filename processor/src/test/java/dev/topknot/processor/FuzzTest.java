package dev.topknot.processor;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.testing.compile.Compilation;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Hundreds of declarations with arbitrary values: messages or code, never a crash. */
class FuzzTest {
  private static final int LAYERS = 250;
  private static final int MODELS = 150;
  private static final int REFUSED = 8;
  private static final List<String> INTEGERS =
      List.of(
          "0",
          "1",
          "2",
          "3",
          "4",
          "16",
          "16",
          "160",
          "160",
          "-1",
          "1 << 24",
          "(1 << 24) + 1",
          "1 << 22",
          "30_000",
          "70_000",
          "Integer.MAX_VALUE",
          "Integer.MIN_VALUE",
          "'a'");

  /** What the compiler refuses before it asks anybody. */
  private static final List<String> REFUSED_INTEGERS =
      List.of("\"text\"", "NoSuch.CONSTANT", "1 / 0", "null", "2.5", "{}", "@Residual");

  private static final List<String> NUMBERS =
      List.of(
          "0", "0.1", "0.1", "0.1", "0.5", "1", "-1", "1e300", "1e-300", "Double.NaN", "1 / 0.0");
  private static final List<String> FUNCTIONS =
      List.of("RELU", "GELU", "SIGMOID", "TANH", "IDENTITY", "SWIGLU");

  private static final List<String> GATINGS =
      List.of("NOISY_TOP_K", "TOP_K", "SOFTMAX_TOP_K", "SOFTMAX", "STRICTLY_BALANCED");

  private final Random random = new Random(17);

  private String any(List<String> values) {
    return values.get(random.nextInt(values.size()));
  }

  private boolean chance(int percent) {
    return random.nextInt(100) < percent;
  }

  private String attribute(int percent, String name, String value) {
    return chance(percent) ? ", " + name + " = " + value : "";
  }

  private String moe() {
    StringBuilder text = new StringBuilder("@MoELayer(experts = " + any(INTEGERS));
    text.append(attribute(100, "k", any(INTEGERS)));
    text.append(attribute(70, "width", any(INTEGERS)));
    text.append(attribute(70, "tokens", any(INTEGERS)));
    text.append(attribute(30, "gating", "Gating." + any(GATINGS)));
    text.append(attribute(20, "importanceLoss", any(NUMBERS)));
    text.append(attribute(20, "loadLoss", any(NUMBERS)));
    text.append(attribute(20, "noiseFloor", any(NUMBERS)));
    text.append(attribute(5, "threshold", any(NUMBERS)));
    text.append(attribute(5, "thresholdLoss", any(NUMBERS)));
    text.append(attribute(5, "evaluationK", any(INTEGERS)));
    text.append(
        attribute(10, "optimizer", "Optimizer." + any(List.of("ADAM", "ADAM_FACTORED", "NONE"))));
    text.append(attribute(10, "precision", "Precision." + any(List.of("FP32", "BF16"))));
    text.append(attribute(10, "recompute", any(List.of("true", "false"))));
    text.append(")");
    if (chance(20)) {
      text.append(" @Hierarchy(groups = %s, k = %s)".formatted(any(INTEGERS), any(INTEGERS)));
    }
    for (int kinds = chance(80) ? 1 : random.nextInt(4); kinds > 0; kinds--) {
      text.append(" @Expert(hidden = ").append(hidden());
      text.append(attribute(30, "count", any(INTEGERS)));
      text.append(attribute(20, "shared", any(List.of("true", "false"))));
      text.append(attribute(30, "activation", function())).append(")");
    }
    return text.toString();
  }

  private String hidden() {
    if (chance(70)) {
      return any(INTEGERS);
    }
    List<String> widths = new ArrayList<>();
    for (int i = random.nextInt(4); i > 0; i--) {
      widths.add(any(INTEGERS));
    }
    return "{" + String.join(", ", widths) + "}";
  }

  private String function() {
    return "ActivationFunction." + any(FUNCTIONS);
  }

  private String layerOfAModel(int number) {
    StringBuilder text = new StringBuilder("  ");
    int kind = random.nextInt(7);
    switch (kind) {
      case 0 ->
          text.append("@Embedding(vocabulary = %s, width = %s)".formatted(any(INTEGERS), "16"));
      case 1 ->
          text.append(
              "@Lstm(units = " + any(INTEGERS) + attribute(30, "projection", any(INTEGERS)) + ")");
      case 2 -> text.append("@Dense(units = 16" + attribute(30, "activation", function()) + ")");
      case 3 -> text.append(moe());
      case 4 ->
          text.append(
              "@Softmax(vocabulary = "
                  + any(INTEGERS)
                  + attribute(30, "samples", any(INTEGERS))
                  + ")");
      default -> {}
    }
    text.append(chance(20) ? " @Activation(" + function() + ")" : "");
    text.append(chance(20) ? " @Dropout(" + any(NUMBERS) + ")" : "");
    text.append(chance(20) ? " @Residual" : "");
    text.append(chance(5) ? " @Expert(hidden = 3)" : "");
    String type =
        kind == 5
            ? "Layer" + random.nextInt(LAYERS)
            : any(List.of("Layer", "Layer", "Layer", "MoE", "void", "int[]", "NoSuchType"));
    // Of one layer at most: two methods of a name end the compilation before ours is asked.
    boolean reserved = chance(5) && number == 0;
    String name = reserved ? any(List.of("close", "train", "notify")) : "layer" + number;
    return text.append(" %s %s(%s);\n".formatted(type, name, chance(3) ? "int x" : "")).toString();
  }

  private String model(int number) {
    StringBuilder text =
        new StringBuilder(
            "@MoEModel(batch = %s, timesteps = %s)\ninterface Model%d extends %s {\n"
                .formatted(
                    chance(60) ? "8" : any(INTEGERS),
                    chance(60) ? "20" : any(INTEGERS),
                    number,
                    chance(95) ? "LanguageModel" : "Runnable"));
    text.append("  @Embedding(vocabulary = 100, width = 16) Layer words();\n");
    int layers = random.nextInt(3);
    for (int i = 0; i < layers; i++) {
      text.append(layerOfAModel(i));
    }
    return text.append("  @Softmax(vocabulary = 100) Layer next();\n}\n").toString();
  }

  private static Compiled compile(String text) {
    return Compiled.processOnly(
        List.of("-Xmaxerrs", "100000", "-Xmaxwarns", "100000"), MarkedSource.of(text).file());
  }

  @Test
  void valuesThatTheCompilerRefuses() {
    for (int i = 0; i < REFUSED; i++) {
      String text =
          "%s\ninterface Layer extends MoE {}\n%s"
              .formatted(moe().replaceFirst("= [^,)]+", "= " + any(REFUSED_INTEGERS)), model(i));
      Compiled compiled = compile(text);
      assertThat(compiled.compilation().status()).isEqualTo(Compilation.Status.FAILURE);
      assertThat(compiled.ours()).extracting(Compiled::code).doesNotContain("TK099", "TK091");
    }
  }

  @Test
  void arbitraryValues() {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < LAYERS; i++) {
      text.append(moe()).append("\ninterface Layer" + i + " extends MoE {}\n");
    }
    for (int i = 0; i < MODELS; i++) {
      text.append(model(i));
    }
    Compiled compiled = compile(text.toString());
    assertThat(compiled.ours()).extracting(Compiled::code).doesNotContain("TK099", "TK091");
    assertThat(compiled.ours()).extracting(Compiled::code).contains("TK012", "TK047", "TK090");
  }
}
