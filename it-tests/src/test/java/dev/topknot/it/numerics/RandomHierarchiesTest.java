package dev.topknot.it.numerics;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Precision;
import dev.topknot.it.generated.Compiling;
import dev.topknot.it.numerics.GeneratedHierarchyTest.Generated;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Options;
import java.io.IOException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Two levels of gates of shapes that nobody chose, as {@link RandomLayersTest} has layers with one;
 * its properties hold here too.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class RandomHierarchiesTest {
  private static final long SEED = Long.getLong("topknot.random.seed", 1);
  private static final int LAYERS = Integer.getInteger("topknot.random.layers", 16);

  private final GeneratedHierarchyTest checks = new GeneratedHierarchyTest();
  private final List<Generated> layers = new ArrayList<>();
  private URLClassLoader loader;

  @BeforeAll
  void compile(@TempDir Path directory) throws Exception {
    StringBuilder source = new StringBuilder("import dev.topknot.dsl.*;\npublic class Drawn {\n");
    Random random = new Random(SEED);
    for (int i = 0; i < LAYERS; i++) {
      Generated drawn = draw(random, i);
      source.append(source(drawn, i));
      layers.add(drawn);
    }
    Compiling.into(directory, Files.writeString(directory.resolve("Drawn.java"), source + "}\n"));
    loader = new URLClassLoader(new URL[] {directory.toUri().toURL()}, getClass().getClassLoader());
  }

  @AfterAll
  void unload() throws IOException {
    loader.close();
  }

  private MoE open(int number, Device device, long seed, Options options) {
    try {
      Method on =
          loader
              .loadClass("TopknotDrawn_L" + number)
              .getMethod("on", Device.class, long.class, Options.class);
      return (MoE) on.invoke(null, device, seed, options);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError(e.getMessage(), e);
    }
  }

  List<Generated> layers() {
    return layers;
  }

  @ParameterizedTest
  @MethodSource("layers")
  void equalsTheReferenceWithTheSameBitsHoweverItRuns(Generated layer) {
    checks.forwardAndBackward(layer);
    checks.sameBitsHoweverItRuns(layer);
  }

  /**
   * A token goes to at least two groups: where a primary gate is always 1 it has the gradient of
   * its load alone, in which rounding counts when few groups have nearly equal loads.
   */
  private Generated draw(Random random, int number) {
    int tokens = 8 + random.nextInt(200);
    int groups = 2 + random.nextInt(9);
    int size = 1 + random.nextInt(random.nextInt(4) == 0 ? 150 : 12);
    return new Generated(
        (device, seed, options) -> open(number, device, seed, options),
        tokens,
        random.nextBoolean() ? tokens : 8 + random.nextInt(tokens - 7),
        1 + random.nextInt(130),
        groups * size,
        1 + random.nextInt(Math.min(size, 6)),
        groups,
        2 + random.nextInt(groups - 1),
        pick(random, ActivationFunction.values()),
        Precision.FP32);
  }

  private static <T> T pick(Random random, T[] values) {
    return values[random.nextInt(values.length)];
  }

  private static String source(Generated g, int number) {
    return """
          @MoELayer(experts = %d, k = %d, width = %d, tokens = %d, importanceLoss = %s, loadLoss = %s)
          @Hierarchy(groups = %d, k = %d)
          @Expert(hidden = 11, activation = ActivationFunction.%s)
          @SuppressWarnings({"TK031", "TK032"})
          public interface L%d extends dev.topknot.runtime.MoE {}
        """
        .formatted(
            g.experts(),
            g.k(),
            g.width(),
            g.tokens(),
            LayerCase.IMPORTANCE_LOSS,
            LayerCase.LOAD_LOSS,
            g.groups(),
            g.primaryK(),
            g.activation(),
            number);
  }
}
