package dev.topknot.runtime;

import java.util.Arrays;
import java.util.Objects;

/**
 * Which experts the gate of one MoE layer chose for each token of a call, and what it gave them
 * ([S17] equations 3 to 5): G(x) without its zeros.
 *
 * @param layer name of the layer
 * @param k experts of each token
 * @param experts [tokens, k], row-major, a token's best first; equally good ones by number
 * @param gates [tokens, k], their gate values
 */
@SuppressWarnings("ArrayRecordComponent")
public record Routing(String layer, int k, int[] experts, float[] gates) {

  /** Copies the arrays, puts a token's best first, checks that they speak of the same tokens. */
  public Routing {
    if (k < 1 || experts.length != gates.length || experts.length % k != 0) {
      throw new IllegalArgumentException(
          "experts and gates must have k = %d entries a token, but have %d and %d"
              .formatted(k, experts.length, gates.length));
    }
    experts = experts.clone();
    gates = gates.clone();
    for (int first = 0; first < experts.length; first += k) {
      sort(experts, gates, first, first + k);
    }
  }

  /** By insertion: few, and in order but where two levels of gates chose. */
  private static void sort(int[] experts, float[] gates, int from, int to) {
    for (int i = from + 1; i < to; i++) {
      int expert = experts[i];
      float gate = gates[i];
      int j = i;
      for (; j > from && isBefore(gate, expert, gates[j - 1], experts[j - 1]); j--) {
        experts[j] = experts[j - 1];
        gates[j] = gates[j - 1];
      }
      experts[j] = expert;
      gates[j] = gate;
    }
  }

  private static boolean isBefore(float gate, int expert, float otherGate, int otherExpert) {
    return gate > otherGate || (gate == otherGate && expert < otherExpert);
  }

  /** The experts of all tokens (a copy). */
  @Override
  public int[] experts() {
    return experts.clone();
  }

  /** The gate values of all tokens (a copy). */
  @Override
  public float[] gates() {
    return gates.clone();
  }

  /** Number of tokens. */
  public int tokens() {
    return experts.length / k;
  }

  /** The expert that is at a place, from 0 to k - 1, among those of a token. */
  public int expert(int token, int place) {
    return experts[index(token, place)];
  }

  /** The gate value of that expert. */
  public float gate(int token, int place) {
    return gates[index(token, place)];
  }

  private int index(int token, int place) {
    return Objects.checkIndex(token, tokens()) * k + Objects.checkIndex(place, k);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Routing that
        && layer.equals(that.layer)
        && k == that.k
        && Arrays.equals(experts, that.experts)
        && Arrays.equals(gates, that.gates);
  }

  @Override
  public int hashCode() {
    return 31 * layer.hashCode() + Arrays.hashCode(experts);
  }

  @Override
  public String toString() {
    return "Routing[%s: %d tokens to %d experts each]".formatted(layer, tokens(), k);
  }
}
