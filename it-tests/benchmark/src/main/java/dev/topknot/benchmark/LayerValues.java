package dev.topknot.benchmark;

/**
 * Inputs and weights of a layer. They have so few bits that gate logits and hidden units come out
 * without rounding: were one chosen or on here and not there, no tolerance would cover it. Expert
 * weights are made one expert at a time: all of them may be more than a heap holds.
 */
record LayerValues(Workload.Layer layer) {
  /** Experts whose gradients are compared, spread evenly; all, where there are fewer. */
  private static final int COMPARED = 64;

  /** [tokens, width] */
  float[] x() {
    return Values.uniform("x", layer.tokens() * layer.width(), 1, 6);
  }

  /** [tokens, width] */
  float[] dy() {
    return Values.uniform("dy", layer.tokens() * layer.width(), 1, 6);
  }

  /** [experts, width] */
  float[] gate() {
    return Values.uniform("gate", layer.experts() * layer.width(), 0.25, 14);
  }

  /** [hidden, width] */
  float[] w1(int expert) {
    return expertWeights(expert, "w1");
  }

  /** [width, hidden] */
  float[] w2(int expert) {
    return expertWeights(expert, "w2");
  }

  private float[] expertWeights(int expert, String matrix) {
    return Values.uniform(name(expert, matrix), layer.hidden() * layer.width(), 0.05, 10);
  }

  /** Name of an expert's matrix. */
  static String name(int expert, String matrix) {
    return "experts." + expert + "." + matrix;
  }

  /** The experts whose gradients are compared. */
  int[] compared() {
    int count = Math.min(COMPARED, layer.experts());
    int[] experts = new int[count];
    for (int i = 0; i < count; i++) {
      experts[i] = (int) ((long) i * layer.experts() / count);
    }
    return experts;
  }
}
