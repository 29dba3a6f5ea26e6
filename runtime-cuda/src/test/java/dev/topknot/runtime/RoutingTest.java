package dev.topknot.runtime;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class RoutingTest {
  @Test
  void givesEachTokensExpertsAndItsOwnCopies() {
    int[] experts = {5, 2, 0, 7, 1, 3};
    float[] gates = {0.75f, 0.25f, 0.5f, 0.5f, 1, 0};
    Routing routing = new Routing("experts", 2, experts, gates);
    experts[0] = 9;
    routing.gates()[2] = 9;
    assertThat(routing.tokens()).isEqualTo(3);
    assertThat(routing.expert(0, 0)).isEqualTo(5);
    assertThat(routing.expert(1, 1)).isEqualTo(7);
    assertThat(routing.gate(1, 0)).isEqualTo(0.5f);
    assertThat(routing.gate(2, 1)).isZero();
    assertThat(routing)
        .isEqualTo(new Routing("experts", 2, routing.experts(), routing.gates()))
        .isNotEqualTo(new Routing("experts", 1, routing.experts(), routing.gates()))
        .hasToString("Routing[experts: 3 tokens to 2 experts each]");
    assertThatThrownBy(() -> routing.gate(3, 0)).isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> routing.expert(0, 2)).isInstanceOf(IndexOutOfBoundsException.class);
  }

  /** As two levels of gates leave them. */
  @Test
  void putsATokensBestFirst() {
    Routing routing =
        new Routing("experts", 3, new int[] {9, 1, 4, 2, 0, 1}, new float[] {1, 3, 2, 5, 5, 5});
    assertThat(routing.experts()).containsExactly(1, 4, 9, 0, 1, 2);
    assertThat(routing.gates()).containsExactly(3, 2, 1, 5, 5, 5);
  }

  @Test
  void refusesArraysThatDoNotFit() {
    assertThatThrownBy(() -> new Routing("a", 2, new int[3], new float[3]))
        .hasMessage("experts and gates must have k = 2 entries a token, but have 3 and 3");
    assertThatThrownBy(() -> new Routing("a", 2, new int[2], new float[4]))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
