package dev.topknot.runtime.cpu;

/** The choice of a token's experts and their weights, on one row of logits. */
final class Selection {
  private Selection() {}

  /**
   * Writes the indices of the k largest of {@code row[0..n)} in falling order to {@code
   * chosen[at..]}; of equal values the lower index comes first. Indices are distinct whatever the
   * row holds, NaN included.
   */
  static void largest(float[] row, int n, int k, int[] chosen, int at) {
    for (int i = 0; i < k; i++) {
      insert(row, i, chosen, at, at + i);
    }
    int last = at + k - 1;
    float least = row[chosen[last]];
    for (int i = k; i < n; i++) {
      if (row[i] > least) {
        insert(row, i, chosen, at, last);
        least = row[chosen[last]];
      }
    }
  }

  /**
   * The key of an entry, to be compared as unsigned: its value in an order that integers have, a
   * NaN below everything, above the complement of its index. Keys are distinct whatever the values.
   */
  static long key(float value, int index) {
    int bits = Float.floatToRawIntBits(value + 0f); // -0 becomes 0
    int ordered = Float.isNaN(value) ? 0 : bits < 0 ? ~bits : bits | Integer.MIN_VALUE;
    return ((long) ordered << Integer.SIZE) | (~index & 0xFFFFFFFFL);
  }

  private static void insert(float[] row, int i, int[] chosen, int from, int place) {
    float value = row[i];
    int to = place;
    for (; to > from && value > row[chosen[to - 1]]; to--) {
      chosen[to] = chosen[to - 1];
    }
    chosen[to] = i;
  }

  /** The index of the (k + 1)-th largest, k &lt; n: the largest that is not among the chosen. */
  static int next(float[] row, int n, int k, int[] chosen, int at) {
    int best = -1;
    for (int i = 0; i < n; i++) {
      if ((best < 0 || row[i] > row[best]) && !contains(chosen, at, k, i)) {
        best = i;
      }
    }
    return best;
  }

  private static boolean contains(int[] chosen, int at, int k, int i) {
    for (int j = at; j < at + k; j++) {
      if (chosen[j] == i) {
        return true;
      }
    }
    return false;
  }

  /** Writes the softmax over the chosen entries of a row to {@code gates[at..]}. */
  static void softmax(float[] row, int k, int[] chosen, float[] gates, int at) {
    double largest = row[chosen[at]];
    double sum = 0;
    for (int j = at; j < at + k; j++) {
      sum += Math.exp(row[chosen[j]] - largest);
    }
    for (int j = at; j < at + k; j++) {
      gates[j] = (float) (Math.exp(row[chosen[j]] - largest) / sum);
    }
  }

  /**
   * The gradient of the chosen logits through their softmax, in place: from dL/dG in {@code d[..k)}
   * to G·(dL/dG − Σ G·dL/dG).
   *
   * <p>That is the same for any constant added to dL/dG. So that of the first, the largest gate, is
   * taken off: where it is nearly 1, its dL/dG and the sum are nearly equal, and their difference,
   * as small as the other gates, would be the rounding of either.
   */
  static void softmaxSlope(int k, float[] gates, int at, float[] d) {
    float first = d[0];
    float sum = 0;
    for (int j = 0; j < k; j++) {
      d[j] -= first;
      sum += gates[at + j] * d[j];
    }
    for (int j = 0; j < k; j++) {
      d[j] = gates[at + j] * (d[j] - sum);
    }
  }
}
