package dev.topknot.benchmark;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.MoE;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;

/** What both sides compute. */
sealed interface Workload {
  /** Name on the command line. */
  String name();

  /** Its sizes, for people. */
  String sizes();

  /** What is timed. */
  List<Task> tasks();

  /** Tokens that one task handles. */
  int tokens();

  /** Bytes that a side holds, about: weights and their gradients. */
  long bytes();

  /** The interface that Topknot compiles. */
  Class<?> spec();

  /** The report that Topknot's processor wrote about it, a resource beside this class. */
  default String report() {
    String name = spec().getName();
    return name.substring(name.lastIndexOf('.') + 1).replace('$', '_') + ".topknot.md";
  }

  /** All that a user would measure. */
  static List<Workload> measured() {
    return List.of(
        new Model(
            "LM",
            Models.Lm.class,
            TopknotModels_Lm.BATCH,
            TopknotModels_Lm.TIMESTEPS,
            TopknotModels_Lm.VOCABULARY,
            512,
            TopknotModels_Lm::on),
        new Layer(
            "A",
            Layers.A.class,
            TopknotLayers_A.TOKENS,
            TopknotLayers_A.WIDTH,
            TopknotLayers_A.HIDDEN,
            TopknotLayers_A.EXPERTS,
            TopknotLayers_A.K,
            TopknotLayers_A::on),
        new Layer(
            "B",
            Layers.B.class,
            TopknotLayers_B.TOKENS,
            TopknotLayers_B.WIDTH,
            TopknotLayers_B.HIDDEN,
            TopknotLayers_B.EXPERTS,
            TopknotLayers_B.K,
            TopknotLayers_B::on),
        new Layer(
            "C",
            Layers.C.class,
            TopknotLayers_C.TOKENS,
            TopknotLayers_C.WIDTH,
            TopknotLayers_C.HIDDEN,
            TopknotLayers_C.EXPERTS,
            TopknotLayers_C.K,
            TopknotLayers_C::on),
        new Layer(
            "D",
            Layers.D.class,
            TopknotLayers_D.TOKENS,
            TopknotLayers_D.WIDTH,
            TopknotLayers_D.HIDDEN,
            TopknotLayers_D.EXPERTS,
            TopknotLayers_D.K,
            TopknotLayers_D::on));
  }

  /** What tests run. */
  static List<Workload> tiny() {
    return List.of(
        new Model(
            "TINY-LM",
            Models.TinyLm.class,
            TopknotModels_TinyLm.BATCH,
            TopknotModels_TinyLm.TIMESTEPS,
            TopknotModels_TinyLm.VOCABULARY,
            16,
            TopknotModels_TinyLm::on),
        new Layer(
            "TINY",
            Layers.Tiny.class,
            TopknotLayers_Tiny.TOKENS,
            TopknotLayers_Tiny.WIDTH,
            TopknotLayers_Tiny.HIDDEN,
            TopknotLayers_Tiny.EXPERTS,
            TopknotLayers_Tiny.K,
            TopknotLayers_Tiny::on));
  }

  /**
   * The workload of a name.
   *
   * @throws IllegalArgumentException if there is none
   */
  static Workload named(String name) {
    for (List<Workload> list : List.of(measured(), tiny())) {
      for (Workload workload : list) {
        if (workload.name().equals(name.toUpperCase(Locale.ROOT))) {
          return workload;
        }
      }
    }
    throw new IllegalArgumentException(
        "no workload "
            + name
            + "; expected one of "
            + measured().stream().map(Workload::name).toList());
  }

  /**
   * A Mixture-of-Experts layer.
   *
   * @param spec the interface that Topknot compiles
   * @param open makes Topknot's
   */
  record Layer(
      String name,
      Class<?> spec,
      int tokens,
      int width,
      int hidden,
      int experts,
      int k,
      Function<Device, ? extends MoE> open)
      implements Workload {
    @Override
    public String sizes() {
      return String.format("T %d, d %d, h %d, n %d, k %d", tokens, width, hidden, experts, k);
    }

    @Override
    public List<Task> tasks() {
      return List.of(Task.FORWARD, Task.FORWARD_BACKWARD);
    }

    /** Bytes of the first matrix of all experts; the second has as many. */
    long matrixBytes() {
      return (long) width * hidden * experts * Float.BYTES;
    }

    @Override
    public long bytes() {
      return 2 * 2 * matrixBytes();
    }
  }

  /**
   * A language model of an embedding, two LSTMs and a softmax, all of one width.
   *
   * @param spec the interface that Topknot compiles
   * @param open makes Topknot's
   */
  record Model(
      String name,
      Class<?> spec,
      int batch,
      int timesteps,
      int vocabulary,
      int width,
      Function<Device, ? extends LanguageModel> open)
      implements Workload {
    @Override
    public String sizes() {
      return String.format(
          "batch %d x %d, d %d, 2 LSTM of %d, softmax %d",
          batch, timesteps, width, width, vocabulary);
    }

    @Override
    public List<Task> tasks() {
      return List.of(Task.STEP);
    }

    @Override
    public int tokens() {
      return batch * timesteps;
    }

    @Override
    public long bytes() {
      return 4 * (2L * vocabulary * width + 16L * width * width) * Float.BYTES;
    }
  }
}
