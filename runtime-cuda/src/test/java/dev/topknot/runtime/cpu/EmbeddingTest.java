package dev.topknot.runtime.cpu;

import static dev.topknot.runtime.cpu.Fixture.assertNear;
import static dev.topknot.runtime.cpu.Fixture.assertRows;
import static dev.topknot.runtime.cpu.Fixture.assertSameBits;
import static dev.topknot.runtime.cpu.Fixture.context;
import static dev.topknot.runtime.cpu.Fixture.copy;
import static dev.topknot.runtime.cpu.Fixture.doubles;
import static dev.topknot.runtime.cpu.Fixture.ints;
import static dev.topknot.runtime.cpu.Fixture.poisoned;
import static dev.topknot.runtime.cpu.Fixture.random;
import static dev.topknot.runtime.cpu.Fixture.randomIds;
import static dev.topknot.runtime.cpu.Fixture.run;
import static dev.topknot.runtime.cpu.Fixture.valid;

import java.util.Random;
import org.junit.jupiter.api.Test;

class EmbeddingTest {
  private static final int TOKENS = 70;
  private static final int VOCABULARY = 300;
  private static final int WIDTH = 9;

  private final Random random = new Random(1);
  private final Embedding embedding = new Embedding(context(2), "words", TOKENS, VOCABULARY, WIDTH);

  @Test
  void forwardCopiesTheRowOfEveryValidToken() {
    int[] ids = randomIds(random, TOKENS, VOCABULARY);
    Matrix weight = random(random, VOCABULARY, WIDTH, 1);
    Matrix y = poisoned(TOKENS, WIDTH);
    embedding.forward(run(TOKENS, 61), ints(ids), weight, y);
    double[] table = doubles(weight);
    double[] expected = new double[TOKENS * WIDTH];
    for (int t = 0; t < TOKENS; t++) {
      System.arraycopy(table, ids[t] * WIDTH, expected, t * WIDTH, WIDTH);
    }
    assertRows(expected, y, 61);
  }

  @Test
  void backwardAddsTheGradientsOfEachId() {
    Matrix dWeight = poisoned(VOCABULARY, WIDTH);
    Run run = run(TOKENS, 61);
    for (int repeat = 0; repeat < 3; repeat++) { // other ids each time: no row may survive
      int[] ids = randomIds(random, TOKENS, 20 + 140 * repeat);
      Matrix dy = valid(random(random, TOKENS, WIDTH, 1), 61);
      embedding.backward(run, ints(ids), dy, dWeight);
      assertNear(scattered(new double[VOCABULARY * WIDTH], ids, dy, 61), dWeight);
    }
  }

  @Test
  void backwardAddsToWhatIsThere() {
    Matrix dWeight = random(random, VOCABULARY, WIDTH, 1);
    double[] before = doubles(dWeight);
    int[] ids = randomIds(random, TOKENS, 50);
    Matrix dy = random(random, TOKENS, WIDTH, 1);
    Run run = run(TOKENS, TOKENS);
    run.add(true);
    embedding.backward(run, ints(ids), dy, dWeight);
    assertNear(scattered(before, ids, dy, TOKENS), dWeight);
  }

  @Test
  void backwardOverwritesWhatOthersWroteInTheGradient() {
    int[] ids = randomIds(random, TOKENS, 50);
    Matrix dy = random(random, TOKENS, WIDTH, 1);
    Matrix dWeight = poisoned(VOCABULARY, WIDTH);
    embedding.backward(run(TOKENS, TOKENS), ints(ids), dy, dWeight);
    Matrix first = copy(dWeight);
    dWeight.fill(1);
    embedding.backward(run(TOKENS, TOKENS), ints(ids), dy, dWeight);
    assertSameBits(first, dWeight);
  }

  @Test
  void theBitsDoNotDependOnTheThreads() {
    int[] ids = randomIds(random, TOKENS, 7);
    Matrix dy = random(random, TOKENS, WIDTH, 1);
    Matrix two = poisoned(VOCABULARY, WIDTH);
    Matrix one = poisoned(VOCABULARY, WIDTH);
    embedding.backward(run(TOKENS, TOKENS), ints(ids), dy, two);
    new Embedding(context(1), "words", TOKENS, VOCABULARY, WIDTH)
        .backward(run(TOKENS, TOKENS), ints(ids), dy, one);
    assertSameBits(one, two);
  }

  @Test
  void noTokensMeanNoGradient() {
    Matrix dWeight = poisoned(VOCABULARY, WIDTH);
    embedding.backward(run(TOKENS, 0), ints(new int[TOKENS]), poisoned(TOKENS, WIDTH), dWeight);
    assertNear(new double[VOCABULARY * WIDTH], dWeight);
  }

  private static double[] scattered(double[] into, int[] ids, Matrix dy, int valid) {
    double[] sum = into.clone();
    for (int t = 0; t < valid; t++) {
      for (int j = 0; j < WIDTH; j++) {
        sum[ids[t] * WIDTH + j] += dy.get(t, j);
      }
    }
    return sum;
  }
}
