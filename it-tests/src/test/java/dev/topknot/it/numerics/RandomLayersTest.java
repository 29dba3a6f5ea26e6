package dev.topknot.it.numerics;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.dsl.Precision;
import dev.topknot.it.generated.Compiling;
import dev.topknot.it.numerics.GeneratedLayerTest.Generated;
import dev.topknot.it.numerics.LayerCase.Kind;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.MoE;
import java.io.IOException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Layers of shapes that nobody chose, drawn from a seed, compiled here and checked as those of
 * {@link GeneratedLayerTest}. To look further: {@code -Dtopknot.random.seed=2
 * -Dtopknot.random.layers=200}.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class RandomLayersTest {
  private static final long SEED = Long.getLong("topknot.random.seed", 1);
  private static final int LAYERS = Integer.getInteger("topknot.random.layers", 16);

  private final GeneratedLayerTest checks = new GeneratedLayerTest();
  private final List<Generated> layers = new ArrayList<>();
  private URLClassLoader loader;

  @BeforeAll
  void compile(@TempDir Path directory) throws Exception {
    List<Drawn> cases = draw();
    Path file = Files.writeString(directory.resolve("Drawn.java"), source(cases));
    Compiling.into(directory, file);
    loader = new URLClassLoader(new URL[] {directory.toUri().toURL()}, getClass().getClassLoader());
    for (int i = 0; i < cases.size(); i++) {
      Method on = loader.loadClass("TopknotDrawn_L" + i).getMethod("on", Device.class, long.class);
      layers.add(
          new Generated(
              (device, seed) -> open(on, device, seed), cases.get(i).c(), Precision.FP32));
    }
  }

  @AfterAll
  void unload() throws IOException {
    loader.close();
  }

  private static MoE open(Method on, Device device, long seed) {
    try {
      return (MoE) on.invoke(null, device, seed);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError(e.getMessage(), e);
    }
  }

  List<Generated> layers() {
    return layers;
  }

  @ParameterizedTest
  @MethodSource("layers")
  void equalsTheReference(Generated layer) {
    if (layer.c().experts() == 1) {
      checks.oneExpertIsAFeedForwardLayer(layer);
    } else {
      checks.forwardAndBackward(layer);
    }
  }

  @ParameterizedTest
  @MethodSource("layers")
  void sameBitsHoweverItRuns(Generated layer) {
    checks.sameBitsHoweverItRuns(layer);
    checks.memoryOfAnEarlierCallDoesNotShow(layer);
  }

  /** A layer and its experts as they are annotated. */
  private record Drawn(LayerCase c, boolean recompute, String experts) {}

  private static List<Drawn> draw() {
    Random random = new Random(SEED);
    List<Drawn> cases = new ArrayList<>();
    while (cases.size() < LAYERS) {
      int tokens = 1 + random.nextInt(70);
      int experts = 1 + random.nextInt(random.nextInt(8) == 0 ? 300 : 20);
      LayerCase c =
          new LayerCase(
              tokens,
              random.nextBoolean() ? tokens : 1 + random.nextInt(tokens),
              1 + random.nextInt(130),
              experts,
              random.nextInt(6) == 0
                  ? Math.min(experts, 64)
                  : 1 + random.nextInt(Math.min(experts, 8)),
              0,
              null,
              pick(random, Gating.values()));
      StringBuilder annotations = new StringBuilder();
      List<Kind> kinds = new ArrayList<>();
      for (int left = experts; left > 0; left -= kinds.get(kinds.size() - 1).count()) {
        int count = random.nextInt(3) == 0 ? 1 + random.nextInt(left) : left;
        kinds.add(kind(random, count, false, annotations));
      }
      for (int shared = random.nextInt(4) - 1; shared > 0; shared--) {
        kinds.add(kind(random, 1 + random.nextInt(2), true, annotations));
      }
      cases.add(
          new Drawn(
              c.of(kinds.toArray(Kind[]::new)), random.nextBoolean(), annotations.toString()));
    }
    return cases;
  }

  /** Experts of one kind, which may have up to three hidden layers. */
  private static Kind kind(Random random, int count, boolean shared, StringBuilder annotations) {
    ActivationFunction activation = pick(random, ActivationFunction.values());
    int layers = activation == ActivationFunction.SWIGLU ? 1 : Math.max(1, random.nextInt(6) - 2);
    String hidden =
        random
            .ints(layers, 1, 200)
            .mapToObj(String::valueOf)
            .collect(Collectors.joining(", ", "{", "}"));
    annotations.append(
        "@Expert(count = %d, shared = %s, hidden = %s, activation = ActivationFunction.%s)\n"
            .formatted(count, shared, hidden, activation));
    return new Kind(count, activation, shared);
  }

  private static <T> T pick(Random random, T[] values) {
    return values[random.nextInt(values.length)];
  }

  private static String source(List<Drawn> cases) {
    StringBuilder source = new StringBuilder("import dev.topknot.dsl.*;\npublic class Drawn {\n");
    for (int i = 0; i < cases.size(); i++) {
      LayerCase c = cases.get(i).c();
      source.append(
          """
            @MoELayer(experts = %d, k = %d, width = %d, tokens = %d, gating = Gating.%s,
                importanceLoss = %s%s, recompute = %s)
            %s
            public interface L%d extends dev.topknot.runtime.MoE {}
          """
              .formatted(
                  c.experts(),
                  c.k(),
                  c.width(),
                  c.tokens(),
                  c.gating(),
                  LayerCase.IMPORTANCE_LOSS,
                  c.noisy() ? ", loadLoss = " + LayerCase.LOAD_LOSS : "",
                  cases.get(i).recompute(),
                  cases.get(i).experts(),
                  i));
    }
    return source.append("}\n").toString();
  }
}
