package dev.topknot.it.reference;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The language model of [S17] figure 1: an embedding, layers with modifiers, a softmax. Parameters
 * are named and shaped as in a saved model (so a gate is [experts, width] here) and may be changed
 * between passes. Tokens are time-major: token {@code step · batch + sequence}.
 */
public final class LanguageModel {
  /** A layer between embedding and softmax. */
  public sealed interface Layer {
    /** The layer's name, the prefix of its parameters' names. */
    String name();

    /** What follows the layer. */
    Modifiers modifiers();
  }

  /** Parameter {@code weight} [vocabulary, width]; the first layer. */
  public record Words(String name, Modifiers modifiers) implements Layer {}

  /** Parameters {@code weight_ih}, {@code weight_hh}, {@code bias}, perhaps {@code weight_hr}. */
  public record Recurrent(String name, Modifiers modifiers) implements Layer {}

  /** Parameters {@code weight} and {@code bias}. */
  public record FullyConnected(String name, Activation activation, Modifiers modifiers)
      implements Layer {}

  /**
   * Parameters {@code gate.weight}, {@code noise.weight}, {@code experts.0.w1}, ...; without a gate
   * for a single expert.
   *
   * @param expert the experts' activation as the DSL names it
   */
  public record Mixed(
      String name,
      Gating.Kind gating,
      int k,
      double noiseFloor,
      double importanceWeight,
      double loadWeight,
      String expert,
      Modifiers modifiers)
      implements Layer {}

  /**
   * What one pass reads besides the parameters; every map is keyed by layer name.
   *
   * @param batch rows a time step
   * @param valid how many tokens count, from the first
   * @param ids the words, steps · batch
   * @param targets the words to predict
   * @param h the output an LSTM carries in; zero where absent
   * @param c the cells an LSTM carries in; zero where absent
   * @param noise ξ of the gates; absent in evaluation
   * @param keep dropout masks; absent in evaluation
   * @param chosen a device's selections, absent for the gates' own
   */
  public record Input(
      int batch,
      int valid,
      List<Integer> ids,
      List<Integer> targets,
      Map<String, Matrix> h,
      Map<String, Matrix> c,
      Map<String, Matrix> noise,
      Map<String, Matrix> keep,
      Map<String, int[][]> chosen) {}

  /** What parameters are called in a saved model, where that differs from the reference. */
  private static final Map<String, String> SAVED =
      Map.of(
          "weights", "weight",
          "inputWeights", "weight_ih",
          "recurrentWeights", "weight_hh",
          "projection", "weight_hr",
          "gateWeights", "gate.weight",
          "noiseWeights", "noise.weight");

  private final List<Layer> layers;
  private final String softmax;
  private final Map<String, Matrix> parameters;
  private final Products products;

  /**
   * A model of layers in order, the name of its softmax, its parameters by full name, and how its
   * layers, other than gates, multiply matrices.
   */
  public LanguageModel(
      List<Layer> layers, String softmax, Map<String, Matrix> parameters, Products products) {
    this.products = products;
    this.layers = List.copyOf(layers);
    this.softmax = softmax;
    this.parameters = parameters;
  }

  /** Runs the model. */
  public Forward forward(Input input) {
    return new Forward(input);
  }

  private Matrix parameter(String layer, String name) {
    return parameters.get(layer + "." + SAVED.getOrDefault(name, name));
  }

  private Pass run(Layer layer, Matrix x, Input input) {
    String name = layer.name();
    if (layer instanceof Words) {
      return new Embedding(parameter(name, "weights")).forward(array(input.ids()));
    }
    if (layer instanceof Recurrent) {
      Lstm lstm =
          new Lstm(
              parameter(name, "inputWeights"),
              parameter(name, "recurrentWeights"),
              parameter(name, "bias"),
              parameter(name, "projection"),
              products);
      int out = lstm.recurrentWeights().columns();
      return lstm.forward(
          x,
          input.h().getOrDefault(name, Matrix.zeros(input.batch(), out)),
          input.c().getOrDefault(name, Matrix.zeros(input.batch(), lstm.units())));
    }
    if (layer instanceof FullyConnected dense) {
      return new Dense(
              parameter(name, "weights"), parameter(name, "bias"), dense.activation(), products)
          .forward(x);
    }
    Mixed moe = (Mixed) layer;
    Matrix gate = parameter(name, "gateWeights");
    if (gate == null) {
      return single(expert(moe, 0).forward(x));
    }
    Matrix noise = parameter(name, "noiseWeights");
    Gating gating =
        new Gating(
            moe.gating(),
            moe.k(),
            moe.noiseFloor(),
            gate.transposed(),
            noise == null ? null : noise.transposed());
    List<Expert> experts = IntStream.range(0, gate.rows()).mapToObj(i -> expert(moe, i)).toList();
    return new MoE(gating, moe.importanceWeight(), moe.loadWeight(), experts)
        .forward(x, input.valid(), input.noise().get(name), input.chosen().get(name));
  }

  /** The only expert's pass, its weights named as those of a list of experts. */
  private static Pass single(Pass expert) {
    return new Pass() {
      @Override
      public Matrix y() {
        return expert.y();
      }

      @Override
      public Gradients backward(Matrix dy) {
        Gradients gradients = expert.backward(dy);
        Map<String, Matrix> byName = new LinkedHashMap<>();
        gradients.byName().forEach((name, g) -> byName.put("experts.0." + name, g));
        return new Gradients(gradients.x(), byName);
      }
    };
  }

  private Expert expert(Mixed moe, int i) {
    List<Matrix> weights =
        IntStream.iterate(
                1, w -> parameter(moe.name(), "experts." + i + ".w" + w) != null, w -> w + 1)
            .mapToObj(w -> parameter(moe.name(), "experts." + i + ".w" + w))
            .toList();
    return Expert.of(moe.expert(), weights, products);
  }

  private static int[] array(List<Integer> values) {
    return values.stream().mapToInt(Integer::intValue).toArray();
  }

  /** The model's forward pass. */
  public final class Forward {
    private final Map<String, Pass> passes = new LinkedHashMap<>();
    private final Map<String, Pass> modified = new HashMap<>();
    private final int tokens;
    private final SoftmaxLoss.Forward loss;

    private Forward(Input input) {
      tokens = input.ids().size();
      Matrix x = null;
      for (Layer layer : layers) {
        Pass pass = run(layer, x, input);
        Pass after = layer.modifiers().forward(x, pass.y(), input.keep().get(layer.name()));
        passes.put(layer.name(), pass);
        modified.put(layer.name(), after);
        x = after.y();
      }
      int[] targets = array(input.targets().subList(0, input.valid()));
      loss =
          new SoftmaxLoss(parameter(softmax, "weights"), parameter(softmax, "bias"), products)
              .forward(x.resized(input.valid()), targets);
    }

    /** A layer's own pass, before its modifiers. */
    public Pass pass(String layer) {
      return passes.get(layer);
    }

    /** A MoE layer's pass. */
    public MoE.Forward moe(String layer) {
      return (MoE.Forward) passes.get(layer);
    }

    /** An LSTM's pass, with the state to carry on. */
    public Lstm.Forward lstm(String layer) {
      return (Lstm.Forward) passes.get(layer);
    }

    /** A layer's output after its modifiers. */
    public Matrix y(String layer) {
      return modified.get(layer).y();
    }

    /** The softmax: mean loss a token, perplexity, probabilities. */
    public SoftmaxLoss.Forward softmax() {
      return loss;
    }

    /** The mean loss plus the balancing losses of every MoE layer. */
    public double total() {
      double total = loss.meanLoss();
      for (Pass pass : passes.values()) {
        if (pass instanceof MoE.Forward moe) {
          total += moe.importanceLoss() + moe.loadLoss();
        }
      }
      return total;
    }

    /** The gradients of {@link #total()} by full parameter name. */
    public Map<String, Matrix> backward() {
      Map<String, Matrix> result = new LinkedHashMap<>();
      Gradients gradients = loss.backward();
      put(result, softmax, gradients);
      Matrix dy = gradients.x().resized(tokens);
      for (int i = layers.size() - 1; i >= 0; i--) {
        Layer layer = layers.get(i);
        gradients = passes.get(layer.name()).backward(modified.get(layer.name()).backward(dy).x());
        put(result, layer.name(), gradients);
        dy = layer.modifiers().residual() ? gradients.x().plus(dy) : gradients.x();
      }
      return result;
    }

    private void put(Map<String, Matrix> result, String layer, Gradients gradients) {
      gradients
          .byName()
          .forEach(
              (name, gradient) -> {
                boolean gate = name.equals("gateWeights") || name.equals("noiseWeights");
                result.put(
                    layer + "." + SAVED.getOrDefault(name, name),
                    gate ? gradient.transposed() : gradient);
              });
    }
  }
}
