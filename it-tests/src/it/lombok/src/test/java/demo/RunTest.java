package demo;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class RunTest {
  @Test
  void bothProcessorsRan() {
    Run one = Run.builder().seed(3).threads(1).build();
    Run two = Run.builder().seed(3).threads(2).build();

    assertEquals(3, two.getSeed());
    assertEquals(TopknotExperts.TOKENS * TopknotExperts.WIDTH, one.zeros().length);
    assertArrayEquals(one.zeros(), two.zeros());
  }
}
