package dev.topknot.it.numerics;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Expert;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.MoE;
import dev.topknot.runtime.cpu.Noise;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * A layer's shape and data: values that single precision holds exactly, drawn from a seed.
 *
 * @param tokens that the layer is compiled for
 * @param valid that count
 * @param hidden of the experts that {@link #draw} makes, all of one kind
 * @param activation likewise; null where there are several kinds
 * @param kinds of experts, those that the gate chooses from in the order of their numbers
 */
record LayerCase(
    int tokens,
    int valid,
    int width,
    int experts,
    int k,
    int hidden,
    ActivationFunction activation,
    Gating gating,
    List<Kind> kinds) {
  static final double NOISE_FLOOR = 0.01;
  static final double IMPORTANCE_LOSS = 0.3;
  static final double LOAD_LOSS = 0.2;
  static final int STEP = 5;
  static final int STREAM_LAYER = 3;

  /** Experts of one kind, as many as it counts. */
  record Kind(int count, ActivationFunction activation, boolean shared) {}

  /** A case of one kind of experts. */
  LayerCase(
      int tokens,
      int valid,
      int width,
      int experts,
      int k,
      int hidden,
      ActivationFunction activation,
      Gating gating) {
    this(
        tokens,
        valid,
        width,
        experts,
        k,
        hidden,
        activation,
        gating,
        List.of(new Kind(experts, activation, false)));
  }

  /** The same case with several kinds of experts, or one of another shape. */
  LayerCase of(Kind... kinds) {
    return new LayerCase(
        tokens, valid, width, experts, k, hidden, activation, gating, List.of(kinds));
  }

  /** Input, gradient of the output, and parameters. */
  record Data(
      Matrix x,
      Matrix dy,
      Matrix gateWeights,
      Matrix noiseWeights,
      List<Expert> experts,
      List<Expert> shared) {
    /** A weight of all experts, one below the other. */
    Matrix stacked(String weight) {
      return stacked(weight, 0, experts.size());
    }

    /** A weight of the experts {@code from} to {@code to}, one below the other. */
    Matrix stacked(String weight, int from, int to) {
      return LayerCase.stack(
          experts.subList(from, to).stream().map(e -> e.weights().get(weight)).toList());
    }
  }

  /** A seed of its own for every case. */
  long seed() {
    String function = activation == null ? kinds.toString() : activation.name();
    return Objects.hash(tokens, valid, width, experts, k, hidden, function, gating.name());
  }

  boolean swiglu() {
    return activation == ActivationFunction.SWIGLU;
  }

  boolean noisy() {
    return gating == Gating.NOISY_TOP_K;
  }

  /** Names of an expert's weights. */
  List<String> weights() {
    return swiglu() ? List.of("w1", "w2", "w3") : List.of("w1", "w2");
  }

  Data draw(long seed) {
    Draw draw = new Draw(seed);
    Matrix x = draw.normal(tokens, width, 1).rounded();
    Matrix dy = draw.normal(tokens, width, 1).rounded();
    Matrix gateWeights = draw.weights(experts, width).rounded();
    Matrix noiseWeights = draw.weights(experts, width).rounded();
    List<Expert> list = new ArrayList<>();
    for (int i = 0; i < experts; i++) {
      List<Matrix> weights = new ArrayList<>();
      for (String name : weights()) {
        weights.add(
            (name.equals("w2") ? draw.weights(width, hidden) : draw.weights(hidden, width))
                .rounded());
      }
      list.add(Expert.of(activation.name(), weights));
    }
    return new Data(x, dy, gateWeights, noiseWeights, list, List.of());
  }

  /** The reference of this layer. */
  MoE reference(Data data) {
    dev.topknot.it.reference.Gating gate =
        new dev.topknot.it.reference.Gating(
            dev.topknot.it.reference.Gating.Kind.valueOf(gating.name()),
            k,
            (float) NOISE_FLOOR,
            data.gateWeights().transposed(),
            noisy() ? data.noiseWeights().transposed() : null);
    return new MoE(gate, IMPORTANCE_LOSS, LOAD_LOSS, data.experts(), data.shared());
  }

  /** ξ of every token, or null where the gate draws none. */
  Matrix noise(long seed) {
    return noisy()
        ? noise(0, tokens, experts, seed, STEP, Noise.stream(STREAM_LAYER, Noise.Purpose.GATE, 0))
        : null;
  }

  /** ξ of so many tokens from {@code firstToken} on. */
  static Matrix noise(int firstToken, int tokens, int experts, long seed, int step, int stream) {
    Matrix result = Matrix.zeros(tokens, experts);
    float[] row = new float[experts];
    for (int t = 0; t < tokens; t++) {
      Noise.normals(seed, step, firstToken + t, stream, row, 0, experts);
      for (int i = 0; i < experts; i++) {
        result.set(t, i, row[i]);
      }
    }
    return result;
  }

  /** Matrices one below the other. */
  static Matrix stack(List<Matrix> parts) {
    int rows = parts.stream().mapToInt(Matrix::rows).sum();
    Matrix result = Matrix.zeros(rows, parts.get(0).columns());
    int at = 0;
    for (Matrix part : parts) {
      System.arraycopy(part.data(), 0, result.data(), at, part.data().length);
      at += part.data().length;
    }
    return result;
  }
}
