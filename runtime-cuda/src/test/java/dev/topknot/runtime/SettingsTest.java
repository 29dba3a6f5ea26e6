package dev.topknot.runtime;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Options, updates, schedules, batches, and what comes out of a step. */
class SettingsTest {
  @Test
  void optionsKeepAnnotatedValuesUnlessSet() {
    Options defaults = Options.defaults();
    assertThat(defaults.importanceLoss("a", 0.1)).isEqualTo(0.1);
    assertThat(defaults.loadLoss("a", 0.2)).isEqualTo(0.2);
    assertThat(defaults.noise("a", true)).isTrue();
    assertThat(defaults.noiseFloor("a", 0.01)).isEqualTo(0.01);
    assertThat(defaults.dropout("a", 0.3)).isEqualTo(0.3);

    Options all =
        defaults
            .withImportanceLoss(1)
            .withLoadLoss(2)
            .withNoise(false)
            .withNoiseFloor(0)
            .withDropout(0.5);
    assertThat(all.importanceLoss("a", 0.1)).isEqualTo(1);
    assertThat(all.loadLoss("a", 0.1)).isEqualTo(2);
    assertThat(all.noise("a", true)).isFalse();
    assertThat(all.noiseFloor("a", 0.01)).isZero();
    assertThat(all.dropout("a", 0.1)).isEqualTo(0.5);
    assertThat(defaults.dropout("a", 0.1)).as("the original is untouched").isEqualTo(0.1);
  }

  @Test
  void optionsOfOneLayerGoFirst() {
    Options options =
        Options.defaults()
            .withImportanceLoss("a", 3)
            .withLoadLoss("a", 4)
            .withNoise("a", true)
            .withNoiseFloor("a", 5)
            .withDropout("a", 0)
            .withImportanceLoss(1)
            .withLoadLoss(1)
            .withNoise(false)
            .withNoiseFloor(1)
            .withDropout(0.9);
    assertThat(options.importanceLoss("a", 0)).isEqualTo(3);
    assertThat(options.loadLoss("a", 0)).isEqualTo(4);
    assertThat(options.noise("a", false)).isTrue();
    assertThat(options.noiseFloor("a", 0)).isEqualTo(5);
    assertThat(options.dropout("a", 0.1)).isZero();
    assertThat(options.dropout("b", 0.1)).isEqualTo(0.9);
    options.requireLayers(List.of("a", "b"));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> options.requireLayers(List.of("b", "c")))
        .withMessageContaining("of a")
        .withMessageContaining("[b, c]");
  }

  @Test
  void optionsRefuseWhatMakesNoSense() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Options.defaults().withDropout(1))
        .withMessage("dropout must be in [0, 1), but is 1.0");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Options.defaults().withLoadLoss("a", Double.NaN))
        .withMessageContaining("loadLoss must be finite and not negative, but is NaN");
  }

  @Test
  void updateChecksItsRanges() {
    Update update = Update.of(0.1).withClip(2).withBetas(0.5, 0.6).withEpsilon(1e-3).withRate(0.2);
    assertThat(update).isEqualTo(new Update(0.2, 0.5, 0.6, 1e-3, 2));
    assertThat(Update.of(0.1)).isEqualTo(new Update(0.1, 0.9, 0.999, 1e-8, 1 / 0.0));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Update.of(-1))
        .withMessage("rate must be finite and not negative, but is -1.0");
    assertThatIllegalArgumentException().isThrownBy(() -> Update.of(Double.NaN));
    assertThatIllegalArgumentException().isThrownBy(() -> update.withBetas(1, 0.9));
    assertThatIllegalArgumentException().isThrownBy(() -> update.withClip(0));
  }

  @Test
  void warmsUpToThePeakThenDecays() {
    Schedule schedule = Schedule.warmupInverseSqrt(0.01, 1000);
    assertThat(schedule.at(0).rate()).isEqualTo(0.01 / 1000, within(1e-12));
    assertThat(schedule.at(499).rate()).isEqualTo(0.005, within(1e-12));
    assertThat(schedule.at(999).rate()).isEqualTo(0.01, within(1e-12));
    assertThat(schedule.at(3999).rate()).isEqualTo(0.005, within(1e-12));
    assertThat(schedule.withClip(3).at(999).clip()).isEqualTo(3);
    assertThatIllegalArgumentException().isThrownBy(() -> schedule.withClip(0));
    assertThat(Schedule.constant(0.3).at(1L << 40).rate()).isEqualTo(0.3);
    assertThatIllegalArgumentException().isThrownBy(() -> Schedule.warmupInverseSqrt(1, 0));
  }

  @Test
  void batchSaysWhatItExpects() {
    assertThat(Batch.full(new int[3], new int[3]).valid()).isEqualTo(3);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> new Batch(new int[3], new int[2], 1))
        .withMessage("expected as many targets as inputs, but got 2 targets and 3 inputs");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> new Batch(new int[3], new int[3], 4))
        .withMessage("valid must be in 1..3, but is 4");
    assertThatIllegalArgumentException().isThrownBy(() -> new Batch(new int[3], new int[3], 0));
  }

  @Test
  void balanceMeasuresTheSpread() {
    Balance even = balance(2, 2, 2, 2);
    assertThat(even.importanceCv()).isZero();
    assertThat(even.loadCv()).isZero();
    assertThat(even.maxOverMeanLoad()).isEqualTo(1);
    Balance one = balance(8, 0, 0, 0);
    assertThat(one.importanceCv()).isEqualTo(Math.sqrt(3), within(1e-12));
    assertThat(one.maxOverMeanLoad()).isEqualTo(4);
    assertThat(one.droppedTokens()).isZero();
    assertThat(balance(0, 0, 0, 0).loadCv()).isZero();
    assertThat(balance(0, 0, 0, 0).maxOverMeanLoad()).isEqualTo(1);

    assertThat(one.withDropped(3).plus(even.withDropped(4)).droppedTokens()).isEqualTo(7);
    assertThat(one.withDropped(3)).isNotEqualTo(one).isEqualTo(one.withDropped(3));

    Balance sum = even.plus(one);
    assertThat(sum.importance()).containsExactly(10, 2, 2, 2);
    assertThat(sum.load()).containsExactly(10, 2, 2, 2);
    assertThat(sum.tokens()).containsExactly(10, 2, 2, 2);
    assertThat(sum.importanceLoss()).isEqualTo(0.5);
    assertThat(sum.loadLoss()).isEqualTo(1);
    sum.load()[0] = 99;
    assertThat(sum.load()).as("a copy was changed").containsExactly(10, 2, 2, 2);
    assertThatIllegalArgumentException().isThrownBy(() -> even.plus(balance(1)));
  }

  private static Balance balance(double... of) {
    long[] tokens = new long[of.length];
    for (int i = 0; i < of.length; i++) {
      tokens[i] = (long) of[i];
    }
    return new Balance("gate", of, of, tokens, 0.25, 0.5);
  }

  @Test
  void stepAndEvaluationGiveTheFirstBalance() {
    Step step = new Step(1, Math.log(7), 10, 1, 0.1, List.of(balance(1, 2)));
    assertThat(step.perplexity()).isEqualTo(7, within(1e-12));
    assertThat(step.balance().experts()).isEqualTo(2);
    Evaluation dense = new Evaluation(Math.log(3), 10, List.of());
    assertThat(dense.perplexity()).isEqualTo(3, within(1e-12));
    assertThatIllegalStateException().isThrownBy(dense::balance).withMessageContaining("no layer");
  }
}
