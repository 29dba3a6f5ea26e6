package dev.topknot.runtime.cpu;

import static dev.topknot.runtime.cpu.Fixture.assertNear;
import static dev.topknot.runtime.cpu.Fixture.assertSameBits;
import static dev.topknot.runtime.cpu.Fixture.context;
import static dev.topknot.runtime.cpu.Fixture.copy;
import static dev.topknot.runtime.cpu.Fixture.doubles;
import static dev.topknot.runtime.cpu.Fixture.random;
import static dev.topknot.runtime.cpu.Fixture.zeros;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Init;
import dev.topknot.runtime.program.Layout;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class AdamTest {
  /** Three tensors of 40 x 48, then one of 320 x 300, more than a chunk, then a bias. */
  private static final Layout LAYOUT =
      Layout.of(
          "Test",
          List.of(
              new Layout.Entry("a", "experts.*.w", 3, 40, 48, 0, Init.ZERO, 0),
              new Layout.Entry("b", "weight", 1, 320, 300, 5_760, Init.ZERO, 1),
              new Layout.Entry("b", "bias", 1, 1, 7, 101_760, Init.ZERO, 1)));

  private static final int SIZE = (int) LAYOUT.size();

  private final Random random = new Random(2);
  private final BitSet frozen = new BitSet();

  @Test
  void normCountsEveryParameter() {
    Matrix gradients = random(random, 1, SIZE, 1e-3);
    assertThat(norm(2, gradients)).isCloseTo(expectedNorm(gradients, 0, 101_767), within(1e-12));
  }

  @Test
  void normLeavesOutWhatIsFrozen() {
    Matrix gradients = random(random, 1, SIZE, 1e-3);
    double others =
        Math.hypot(expectedNorm(gradients, 0, 1_920), expectedNorm(gradients, 3_840, 101_760));
    for (int i = 1_920; i < 3_840; i++) {
      gradients.set(0, i, Float.NaN);
    }
    gradients.set(0, 101_763, Float.NaN);
    frozen.set(1); // experts.1.w
    frozen.set(4); // bias
    assertThat(norm(2, gradients)).isCloseTo(others, within(1e-12));
  }

  @Test
  void aTinyEpsilonLeavesWhatHasNoGradientAlone() {
    Matrix gradients = zeros(1, SIZE);
    gradients.set(0, 3, 1);
    Matrix parameters = zeros(1, SIZE);
    Run run = new Run(1, LAYOUT, frozen);
    Adam adam = new Adam(context(1, Options.defaults(), LAYOUT));
    adam.norm(run, gradients);
    run.update(Update.of(0.5).withEpsilon(1e-60), 0);
    adam.update(run, parameters, gradients, zeros(1, SIZE), zeros(1, SIZE));
    assertThat(parameters.get(0, 2)).isZero();
    assertThat(parameters.get(0, 3)).isCloseTo(-0.5f, within(1e-5f));
  }

  @Test
  void normOfHugeGradientsDoesNotOverflow() {
    Matrix gradients = zeros(1, SIZE);
    gradients.set(0, 0, 3e38f);
    gradients.set(0, 1, 3e38f);
    assertThat(norm(1, gradients)).isCloseTo(Math.sqrt(2) * 3e38f, within(1e30));
  }

  @Test
  void hugeGradientsLeaveFiniteMomentsWithoutClippingToo() {
    Matrix gradients = zeros(1, SIZE);
    gradients.set(0, 0, -3e38f);
    Matrix parameters = zeros(1, SIZE);
    Matrix secondMoments = zeros(1, SIZE);
    step(
        new Adam(context(1, Options.defaults(), LAYOUT)),
        Update.of(0.5),
        0,
        parameters,
        gradients,
        zeros(1, SIZE),
        secondMoments);
    assertThat(secondMoments.get(0, 0)).isFinite();
    assertThat(parameters.get(0, 0)).isCloseTo(0.5f, within(1e-3f));
  }

  @Test
  void normOfWhatIsNotFiniteIsNotFinite() {
    Matrix gradients = zeros(1, SIZE);
    gradients.set(0, 50_000, Float.NaN);
    assertThat(norm(2, gradients)).isNaN();
    gradients.set(0, 50_000, Float.NEGATIVE_INFINITY);
    assertThat(norm(2, gradients)).isInfinite();
  }

  @Test
  void fiveStepsFollowTheFormula() {
    Matrix p = random(random, 1, SIZE, 1);
    Matrix m = zeros(1, SIZE);
    Matrix v = zeros(1, SIZE);
    double[] p1 = doubles(p);
    double[] m1 = new double[SIZE];
    double[] v1 = new double[SIZE];
    Adam adam = new Adam(context(2, Options.defaults(), LAYOUT));
    for (int step = 0; step < 5; step++) {
      Matrix gradients = random(random, 1, SIZE, 0.1);
      // the first two steps are clipped
      Update update = Update.of(0.01 / (1 + step)).withClip(step < 2 ? 0.5 : 1e9);
      step(adam, update, step, p, gradients, m, v);
      double clip = Math.min(1, update.clip() / expectedNorm(gradients, 0, SIZE));
      for (int i = 0; i < 101_767; i++) {
        double g = gradients.get(0, i) * clip;
        m1[i] = 0.9 * m1[i] + 0.1 * g;
        v1[i] = 0.999 * v1[i] + 0.001 * g * g;
        double first = m1[i] / (1 - Math.pow(0.9, step + 1));
        double second = v1[i] / (1 - Math.pow(0.999, step + 1));
        p1[i] -= update.rate() * first / (Math.sqrt(second) + 1e-8);
      }
      assertNear(m1, m);
      assertNear(v1, v);
      assertNear(p1, p);
    }
  }

  @Test
  void whatIsFrozenStays() {
    Matrix p = random(random, 1, SIZE, 1);
    Matrix m = random(random, 1, SIZE, 0.1);
    Matrix v = zeros(1, SIZE);
    v.fill(0.1f);
    double[] before = doubles(p);
    double[] moment = doubles(m);
    frozen.set(0); // experts.0.w
    frozen.set(2); // experts.2.w
    frozen.set(3); // weight
    Adam adam = new Adam(context(2, Options.defaults(), LAYOUT));
    step(adam, Update.of(0.01), 9, p, random(random, 1, SIZE, 1), m, v);
    for (int i = 0; i < 101_767; i++) {
      boolean moved = (i >= 1_920 && i < 3_840) || i >= 101_760;
      assertThat(p.get(0, i) != (float) before[i]).as("parameter %d moved", i).isEqualTo(moved);
      assertThat(m.get(0, i) != (float) moment[i]).as("moment %d moved", i).isEqualTo(moved);
      assertThat(v.get(0, i) != 0.1f).as("second moment %d moved", i).isEqualTo(moved);
    }
  }

  @Test
  void momentsWithoutGradientEndAtZero() {
    Matrix p = zeros(1, SIZE);
    Matrix m = zeros(1, SIZE);
    Matrix v = zeros(1, SIZE);
    m.fill(1.5e-38f);
    v.fill(1.2e-38f);
    Adam adam = new Adam(context(1, Options.defaults(), LAYOUT));
    step(adam, Update.of(0.01), 9, p, zeros(1, SIZE), m, v);
    assertThat(m.get(0, 5)).isZero();
    assertThat(v.get(0, 5)).isZero();
  }

  @Test
  void theBitsDoNotDependOnTheThreads() {
    Matrix p = random(random, 1, SIZE, 1);
    Matrix gradients = random(random, 1, SIZE, 1);
    Matrix m = random(random, 1, SIZE, 0.1);
    Matrix v = zeros(1, SIZE);
    v.fill(0.3f);
    Matrix q = copy(p);
    Update update = Update.of(0.01).withClip(1);
    step(
        new Adam(context(1, Options.defaults(), LAYOUT)),
        update,
        3,
        p,
        gradients,
        copy(m),
        copy(v));
    step(new Adam(context(2, Options.defaults(), LAYOUT)), update, 3, q, gradients, m, v);
    assertSameBits(p, q);
  }

  private Run run() {
    return new Run(1, LAYOUT, frozen);
  }

  private double norm(int threads, Matrix gradients) {
    Run run = run();
    new Adam(context(threads, Options.defaults(), LAYOUT)).norm(run, gradients);
    return run.gradientNorm();
  }

  private void step(
      Adam adam, Update update, int step, Matrix p, Matrix gradients, Matrix m, Matrix v) {
    Run run = run();
    run.update(update, step);
    adam.norm(run, gradients);
    adam.update(run, p, gradients, m, v);
  }

  private static double expectedNorm(Matrix gradients, int from, int to) {
    double sum = 0;
    for (int i = from; i < Math.min(to, 101_767); i++) {
      sum += (double) gradients.get(0, i) * gradients.get(0, i);
    }
    return Math.sqrt(sum);
  }
}
