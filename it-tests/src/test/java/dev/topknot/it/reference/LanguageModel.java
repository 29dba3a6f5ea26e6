package dev.topknot.it.reference;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The language model of [S17] figure 1: an embedding, layers with modifiers, a softmax. Parameters
 * are named {@code layer.parameter} and may be changed between passes.
 */
public final class LanguageModel {
  /** A layer between embedding and softmax. */
  public sealed interface Layer {
    /** The layer's name, the prefix of its parameters' names. */
    String name();

    /** What follows the layer. */
    Modifiers modifiers();
  }

  /** Parameters {@code weights} [vocabulary, width]; the first layer. */
  public record Words(String name, Modifiers modifiers) implements Layer {}

  /** Parameters {@code inputWeights}, {@code recurrentWeights}, {@code bias}. */
  public record Recurrent(String name, Modifiers modifiers) implements Layer {}

  /** Parameters {@code weights} and, where present, {@code bias}. */
  public record FullyConnected(String name, Activation activation, Modifiers modifiers)
      implements Layer {}

  /**
   * Parameters {@code gateWeights}, {@code noiseWeights}, {@code experts.0.w1}, ...
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
   * @param ids the words, [steps · batch], the rows of one step together
   * @param targets the words to predict
   * @param h the output an LSTM carries in; zero where absent
   * @param c the cells an LSTM carries in; zero where absent
   * @param noise ξ of the gates; absent in evaluation
   * @param keep dropout masks; absent in evaluation
   * @param chosen a device's selections, absent for the gates' own
   */
  public record Input(
      int batch,
      List<Integer> ids,
      List<Integer> targets,
      Map<String, Matrix> h,
      Map<String, Matrix> c,
      Map<String, Matrix> noise,
      Map<String, Matrix> keep,
      Map<String, int[][]> chosen) {}

  private final List<Layer> layers;
  private final String softmax;
  private final Map<String, Matrix> parameters;

  /** A model of layers in order, the name of its softmax, and its parameters by full name. */
  public LanguageModel(List<Layer> layers, String softmax, Map<String, Matrix> parameters) {
    this.layers = List.copyOf(layers);
    this.softmax = softmax;
    this.parameters = parameters;
  }

  /** Runs the model. */
  public Forward forward(Input input) {
    return new Forward(input);
  }

  private Matrix parameter(Layer layer, String name) {
    return parameters.get(layer.name() + "." + name);
  }

  private Pass run(Layer layer, Matrix x, Input input) {
    String name = layer.name();
    if (layer instanceof Words) {
      return new Embedding(parameter(layer, "weights")).forward(array(input.ids()));
    }
    if (layer instanceof Recurrent) {
      Lstm lstm =
          new Lstm(
              parameter(layer, "inputWeights"),
              parameter(layer, "recurrentWeights"),
              parameter(layer, "bias"),
              parameter(layer, "projection"));
      int out = lstm.recurrentWeights().columns();
      return lstm.forward(
          x,
          input.h().getOrDefault(name, Matrix.zeros(input.batch(), out)),
          input.c().getOrDefault(name, Matrix.zeros(input.batch(), lstm.units())));
    }
    if (layer instanceof FullyConnected dense) {
      return new Dense(parameter(layer, "weights"), parameter(layer, "bias"), dense.activation())
          .forward(x);
    }
    Mixed moe = (Mixed) layer;
    Matrix gateWeights = parameter(layer, "gateWeights");
    Gating gating =
        new Gating(
            moe.gating(), moe.k(), moe.noiseFloor(), gateWeights, parameter(layer, "noiseWeights"));
    List<Expert> experts =
        IntStream.range(0, gateWeights.columns()).mapToObj(i -> expert(moe, i)).toList();
    return new MoE(gating, moe.importanceWeight(), moe.loadWeight(), experts)
        .forward(x, x.rows(), input.noise().get(name), input.chosen().get(name));
  }

  private Expert expert(Mixed moe, int i) {
    List<Matrix> weights =
        IntStream.iterate(1, w -> parameter(moe, "experts." + i + ".w" + w) != null, w -> w + 1)
            .mapToObj(w -> parameter(moe, "experts." + i + ".w" + w))
            .toList();
    return Expert.of(moe.expert(), weights);
  }

  private static int[] array(List<Integer> values) {
    return values.stream().mapToInt(Integer::intValue).toArray();
  }

  /** The model's forward pass. */
  public final class Forward {
    private final Map<String, Pass> passes = new LinkedHashMap<>();
    private final Map<String, Pass> modified = new HashMap<>();
    private final SoftmaxLoss.Forward loss;

    private Forward(Input input) {
      Matrix x = null;
      for (Layer layer : layers) {
        Pass pass = run(layer, x, input);
        Pass after = layer.modifiers().forward(x, pass.y(), input.keep().get(layer.name()));
        passes.put(layer.name(), pass);
        modified.put(layer.name(), after);
        x = after.y();
      }
      loss =
          new SoftmaxLoss(parameters.get(softmax + ".weights")).forward(x, array(input.targets()));
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
      result.put(softmax + ".weights", gradients.get("weights"));
      Matrix dy = gradients.x();
      for (int i = layers.size() - 1; i >= 0; i--) {
        Layer layer = layers.get(i);
        gradients = passes.get(layer.name()).backward(modified.get(layer.name()).backward(dy).x());
        gradients
            .byName()
            .forEach((name, gradient) -> result.put(layer.name() + "." + name, gradient));
        dy = layer.modifiers().residual() ? gradients.x().plus(dy) : gradients.x();
      }
      return result;
    }
  }
}
