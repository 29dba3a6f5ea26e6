package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;

import java.util.ArrayList;
import java.util.List;

/**
 * The experts that an op computes: all of a layer, or one kind of them. Buffers of slots have rows
 * for the slots of all experts; those of a kind follow one another, from where the device's offsets
 * say.
 *
 * @param tokens the most tokens of a call
 * @param k experts a token
 * @param all experts of the layer
 * @param first the first expert of the kind
 * @param count experts of the kind
 */
record ExpertRange(int tokens, int k, int all, int first, int count) {
  /** All of so many experts. */
  static ExpertRange of(int tokens, int k, int experts) {
    return new ExpertRange(tokens, k, experts, 0, experts);
  }

  /** Whether the layer has no other experts. */
  boolean whole() {
    return count == all;
  }

  /** The slots of all experts. */
  long slots() {
    return (long) tokens * k;
  }

  /** The slots of these experts if the load is balanced. */
  long expectedSlots() {
    return Grid.blocks(slots() * count, all);
  }

  /** Their part of all slots if the load is balanced. */
  double share() {
    return (double) count / all;
  }

  /** The part of these experts that has slots at most, if the load is balanced over the kinds. */
  double touched() {
    return Math.min(1.0, (double) tokens * k / all);
  }

  /** The operand of this number, [n + 1], from the offset of the first of these experts on. */
  Argument offsets(int index) {
    return operand(index, first);
  }

  /** The sums of the parts of gradients of gates, in a call whose operand 2 are the offsets. */
  Kernel gateGradients(Argument slots, Argument parts, Argument dGates) {
    return whole()
        ? Products.each("backward_gates", slots(), slots, parts, dGates)
        : Products.each("backward_gates", slots(), offsets(2), slots, parts, dGates);
  }

  /** An op's constants, with the number of the first expert where it is not the only kind. */
  List<Constant> constants(int width, Constant... others) {
    List<Constant> constants = new ArrayList<>();
    constants.add(new Constant("tokens", tokens));
    constants.add(new Constant("width", width));
    constants.add(new Constant("experts", count));
    constants.add(new Constant("k", k));
    constants.addAll(List.of(others));
    if (!whole()) {
      constants.add(new Constant("firstExpert", first));
    }
    return constants;
  }

  /** The products of these experts' rows with a weight of each, as many as can have rows. */
  List<Product> products(String method, long inputs, long outputs) {
    long rows = expectedSlots();
    return Product.of(method, rows, Math.min(count, rows), inputs, outputs);
  }
}
