package dev.topknot.runtime.program;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.dsl.Optimizer;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Evaluation;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Step;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.Arena;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.CpuProgram;
import dev.topknot.runtime.fixture.TinyModel;
import dev.topknot.runtime.fixture.TinyModelCpu;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelInstanceTest {
  private static final Batch BATCH =
      Batch.full(new int[] {0, 1, 2, 3, 4, 0}, new int[] {2, 3, 4, 0, 1, 2});
  private static final Batch OTHER =
      Batch.full(new int[] {4, 4, 3, 1, 0, 2}, new int[] {1, 0, 2, 2, 3, 4});
  private static final Update UPDATE = Update.of(0.05);

  @TempDir Path directory;
  private TinyModel model;

  @BeforeEach
  void open() {
    model = TinyModel.on(Device.cpu(1), 7);
  }

  @AfterEach
  void close() {
    model.close();
  }

  @Test
  void learns() {
    Step first = model.train(BATCH, UPDATE);
    assertThat(first.number()).isEqualTo(1);
    assertThat(first.tokens()).isEqualTo(6);
    assertThat(first.rate()).isEqualTo(0.05);
    assertThat(first.gradientNorm()).isPositive();
    assertThat(first.balance().tokens()).containsExactly(3, 3);
    assertThat(first.loss()).isCloseTo(Math.log(5), within(0.5));
    Step last = first;
    for (int i = 0; i < 60; i++) {
      last = model.train(BATCH, UPDATE);
    }
    assertThat(last.loss()).isLessThan(first.loss() / 2);
    assertThat(model.step()).isEqualTo(61).isEqualTo(last.number());
  }

  @Test
  void isTheSameForOneSeed() {
    try (TinyModel again = TinyModel.on(Device.cpu(2), 7);
        TinyModel another = TinyModel.on(Device.cpu(2), 8)) {
      assertThat(values(again)).isEqualTo(values(model)).isNotEqualTo(values(another));
      model.train(BATCH, UPDATE);
      again.train(BATCH, UPDATE);
      assertThat(values(again)).isEqualTo(values(model));
    }
  }

  @Test
  void accumulatesTheMean() {
    Tensor gradient = model.next().parameters().get(0).gradient();
    double loss = model.accumulate(BATCH);
    float[] first = values(gradient);
    // the second micro-batch: other noise, and the state of the first
    model.accumulate(BATCH);
    float[] mean = values(gradient);
    model.accumulate(OTHER);
    Step step = model.update(UPDATE);
    assertThat(step.tokens()).isEqualTo(18);
    assertThat(model.step()).isEqualTo(1);
    assertThat(step.loss()).isNotEqualTo(loss);

    try (TinyModel sum = TinyModel.on(Device.cpu(1), 7)) {
      Tensor[] gradients = {sum.next().parameters().get(0).gradient()};
      sum.accumulate(BATCH);
      assertThat(values(gradients[0])).isEqualTo(first);
      sum.accumulate(BATCH);
      assertThat(values(gradients[0])).isEqualTo(mean);
    }
    for (int i = 0; i < mean.length; i++) {
      float second = 2 * mean[i] - first[i];
      assertThat(second).isCloseTo(first[i], within(0.1f));
    }
    assertThat(mean).isNotEqualTo(first);
  }

  @Test
  void startsTheGradientAnewAfterAnUpdate() {
    model.accumulate(BATCH);
    model.update(Update.of(0));
    model.resetState();
    model.accumulate(BATCH);
    float[] gradient = values(model.next().parameters().get(0).gradient());
    try (TinyModel fresh = TinyModel.on(Device.cpu(1), 7)) {
      fresh.accumulate(BATCH);
      float[] once = values(fresh.next().parameters().get(0).gradient());
      for (int i = 0; i < once.length; i++) {
        assertThat(gradient[i]).as("not the sum of two").isCloseTo(once[i], within(0.01f));
      }
    }
  }

  @Test
  void microBatchesDrawNoiseOfTheirOwn() {
    double first = model.accumulate(BATCH);
    model.resetState();
    double second = model.accumulate(BATCH);
    assertThat(second).isNotEqualTo(first);
    assertThat(second).isCloseTo(first, within(0.05));
  }

  @Test
  void carriesStateUntilReset() {
    double fresh = model.accumulate(BATCH);
    model.update(Update.of(0));
    double carried = model.accumulate(BATCH);
    model.update(Update.of(0));
    model.resetState();
    double reset = model.accumulate(BATCH);
    assertThat(Math.abs(reset - fresh)).isLessThan(Math.abs(carried - fresh));
  }

  @Test
  void touchesOnlyValidTokens() {
    Batch partial = new Batch(new int[] {0, 1, 2, -1, 99, 7}, new int[] {2, 3, 4, 9, 9, 9}, 3);
    Step step = model.train(partial, UPDATE);
    assertThat(step.tokens()).isEqualTo(3);
    assertThat(step.balance().tokens()).containsExactly(2, 1);
  }

  @Test
  void evaluatesFromZeroStateAndDisturbsNothing() {
    Evaluation before = model.evaluate(List.of(BATCH, OTHER));
    assertThat(before.tokens()).isEqualTo(12);
    assertThat(before.balance().tokens()).containsExactly(6, 6);
    assertThat(model.evaluate(List.of(BATCH, OTHER))).isEqualTo(before);
    model.accumulate(BATCH);
    assertThat(model.evaluate(List.of(BATCH, OTHER)).loss()).isEqualTo(before.loss());
    assertThat(model.generate(new int[] {1, 2}, 3, 1).toArray()).hasSize(3);
    assertThat(model.balance("experts").tokens()).containsExactly(3, 3);
    model.accumulate(OTHER);
    model.update(UPDATE);
    try (TinyModel undisturbed = TinyModel.on(Device.cpu(1), 7)) {
      undisturbed.accumulate(BATCH);
      undisturbed.accumulate(OTHER);
      undisturbed.update(UPDATE);
      assertThat(values(undisturbed)).isEqualTo(values(model));
    }
    assertThatIllegalArgumentException().isThrownBy(() -> model.evaluate(List.of()));
  }

  @Test
  void evaluationCountsTokensNotBatches() {
    Batch partial = new Batch(BATCH.inputs(), BATCH.targets(), 1);
    double whole = model.evaluate(List.of(BATCH)).loss();
    double part = model.evaluate(List.of(partial)).loss();
    // the second batch goes on with the state that the first left
    double both = model.evaluate(List.of(BATCH, partial)).loss();
    assertThat(both).isCloseTo((6 * whole + part) / 7, within(0.05));
    assertThat(model.evaluate(List.of(BATCH, partial)).tokens()).isEqualTo(7);
  }

  @Test
  void generates() {
    for (int i = 0; i < 80; i++) {
      model.resetState();
      model.train(BATCH, UPDATE);
    }
    int[] likeliest = model.generate(new int[] {0}, 4, 0).toArray();
    assertThat(likeliest[0]).isEqualTo(2);
    assertThat(model.generate(new int[] {0}, 4, 0).toArray()).isEqualTo(likeliest);
    assertThat(model.generate(new int[] {0}, 4, 1e-3).toArray()).isEqualTo(likeliest);
    int[] sampled = model.generate(new int[] {0}, 50, 2.0).toArray();
    assertThat(model.generate(new int[] {0}, 50, 2.0, 7).toArray()).isEqualTo(sampled);
    assertThat(model.generate(new int[] {0}, 50, 2.0, 8).toArray()).isNotEqualTo(sampled);
    assertThat(model.generate(new int[] {0}, 200, 50).toArray()).contains(0, 1, 2, 3, 4);
    assertThat(model.generate(new int[] {0}, 0, 1).toArray()).isEmpty();
  }

  @Test
  void generatesOneStreamAtATime() {
    IntStream first = model.generate(new int[] {0}, 4, 0);
    IntStream second = model.generate(new int[] {0}, 4, 0);
    assertThat(second.toArray()).hasSize(4);
    assertThatIllegalStateException()
        .isThrownBy(first::toArray)
        .withMessageContaining("only its latest stream");
    assertThatIllegalArgumentException().isThrownBy(() -> model.generate(new int[0], 1, 1));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> model.generate(new int[] {5}, 1, 1))
        .withMessage("expected ids in 0..4, but prompt[0] is 5");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> model.generate(new int[] {0}, 1, -1))
        .withMessageContaining("temperature must be finite and not negative, but is -1.0");
    assertThatIllegalArgumentException().isThrownBy(() -> model.generate(new int[] {0}, -1, 1));
  }

  @Test
  void refusesBatchesThatDoNotFit() {
    float[] before = values(model);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> model.train(Batch.full(new int[5], new int[5]), UPDATE))
        .withMessage("expected a batch of 2 x 3 = 6 tokens, got 5");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> model.train(Batch.full(new int[6], new int[] {0, 0, 5, 0, 0, 0}), UPDATE))
        .withMessage("expected ids in 0..4, but targets[2] is 5");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> model.accumulate(Batch.full(new int[] {-1, 0, 0, 0, 0, 0}, new int[6])))
        .withMessage("expected ids in 0..4, but inputs[0] is -1");
    assertThatIllegalStateException()
        .isThrownBy(() -> model.update(UPDATE))
        .withMessageContaining("without a batch");
    assertThat(values(model)).isEqualTo(before);
    assertThat(model.step()).isZero();
  }

  @Test
  void frozenLayersStay() {
    model.words().freeze(true);
    model.experts().parameters().get(1).freeze(true);
    assertThat(model.words().frozen()).isTrue();
    assertThat(model.experts().frozen()).isFalse();
    List<float[]> before = model.parameters().stream().map(p -> values(p.value())).toList();
    model.train(BATCH, UPDATE);
    List<float[]> after = model.parameters().stream().map(p -> values(p.value())).toList();
    assertThat(after.get(0)).isEqualTo(before.get(0));
    assertThat(after.get(1)).isNotEqualTo(before.get(1));
    assertThat(after.get(2)).isEqualTo(before.get(2));
    assertThat(after.get(3)).isNotEqualTo(before.get(3));
    model.words().freeze(false);
    model.train(BATCH, UPDATE);
    assertThat(values(model.parameters().get(0).value())).isNotEqualTo(before.get(0));
  }

  @Test
  void handlesShowParametersAndBalance() {
    assertThat(model.layers()).extracting(Layer::name).containsExactly("words", "experts", "next");
    assertThat(model.parameters())
        .extracting(Parameter::name)
        .containsExactly(
            "words.weight",
            "experts.experts.0.w1",
            "experts.experts.1.w1",
            "next.weight",
            "next.bias");
    assertThat(model.next().parameters().get(1).shape()).containsExactly(5);
    MoE experts = model.experts();
    assertThat(experts.name()).isEqualTo("experts");
    assertThatIllegalStateException().isThrownBy(experts::balance);
    model.train(BATCH, UPDATE);
    assertThat(experts.balance()).isEqualTo(model.balance("experts"));
    assertThat(experts.step()).isEqualTo(1);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> model.balance("words"))
        .withMessage("expected a layer with a gate, one of [experts], got words");
    assertThatIllegalStateException().isThrownBy(() -> experts.forward(null, null));
    assertThatIllegalStateException().isThrownBy(() -> experts.backward(null, null));
    assertThatIllegalStateException().isThrownBy(() -> experts.accumulate(null, null));
    assertThatIllegalStateException().isThrownBy(() -> experts.update(UPDATE));
    assertThatIllegalStateException().isThrownBy(() -> experts.infer(null, null));
    assertThatIllegalStateException().isThrownBy(() -> experts.save(null));
    assertThatIllegalStateException().isThrownBy(() -> experts.load(null));
    assertThatIllegalStateException()
        .isThrownBy(experts::close)
        .withMessageContaining("close of the layer experts");
  }

  @Test
  void aLossThatIsNotFiniteChangesNothing() {
    model.train(BATCH, UPDATE);
    Parameter poisoned = model.experts().parameters().get(1);
    float[] before = values(model);
    float good = poisoned.value().get(0, 0);
    poisoned.value().set(Float.NaN, 0, 0);
    assertThatExceptionOfType(NonFiniteException.class)
        .isThrownBy(() -> model.train(BATCH, UPDATE))
        .withMessageContaining("the loss is NaN after 1 updates")
        .satisfies(e -> assertThat(e.tensor()).isEqualTo("experts.experts.1.w1"));
    assertThatExceptionOfType(NonFiniteException.class)
        .isThrownBy(() -> model.evaluate(List.of(BATCH)))
        .satisfies(e -> assertThat(e.tensor()).isEqualTo("experts.experts.1.w1"));
    poisoned.value().set(good, 0, 0);
    assertThat(values(model)).isEqualTo(before);
    assertThat(model.step()).isEqualTo(1);
    model.train(OTHER, UPDATE);
    try (TinyModel unharmed = TinyModel.on(Device.cpu(1), 7)) {
      unharmed.train(BATCH, UPDATE);
      unharmed.train(OTHER, UPDATE);
      assertThat(values(model)).as("state and moments too").isEqualTo(values(unharmed));
    }
  }

  @Test
  void aProbabilityThatIsNotFiniteIsNotSampled() {
    model.next().parameters().get(1).value().set(Float.POSITIVE_INFINITY, 2);
    assertThatExceptionOfType(NonFiniteException.class)
        .isThrownBy(() -> model.generate(new int[] {0, 1}, 2, 1))
        .withMessageContaining("a probability is NaN");
  }

  @Test
  void namesTheFirstTensorThatWasComputed() {
    // finite parameters whose product overflows
    model.experts().parameters().forEach(p -> p.value().fill(3e38f));
    model.words().parameters().get(0).value().fill(10);
    assertThatExceptionOfType(NonFiniteException.class)
        .isThrownBy(() -> model.train(BATCH, UPDATE))
        .satisfies(e -> assertThat(e.tensor()).isEqualTo("experts"));
  }

  @Test
  void aGradientThatIsNotFiniteChangesNothing() {
    Exploding.at = 2;
    try (TinyModel exploding = exploding()) {
      exploding.train(BATCH, UPDATE);
      float[] before = values(exploding);
      assertThatExceptionOfType(NonFiniteException.class)
          .isThrownBy(() -> exploding.train(BATCH, UPDATE))
          .withMessageContaining("the gradient norm is")
          .satisfies(e -> assertThat(e.tensor()).isEqualTo("the gradient of next.bias"));
      assertThat(values(exploding)).isEqualTo(before);
      assertThat(exploding.step()).isEqualTo(1);
      Exploding.at = 0;
      exploding.train(OTHER, UPDATE);
      try (TinyModel unharmed = TinyModel.on(Device.cpu(1), 7)) {
        unharmed.train(BATCH, UPDATE);
        unharmed.train(OTHER, UPDATE);
        assertThat(values(exploding)).as("state and moments too").isEqualTo(values(unharmed));
      }
    }
  }

  @Test
  void aFailingBackwardDropsTheMicroBatches() {
    Exploding.at = 0;
    try (TinyModel exploding = exploding()) {
      exploding.accumulate(BATCH);
      Exploding.at = -1;
      assertThatExceptionOfType(IllegalStateException.class)
          .isThrownBy(() -> exploding.accumulate(BATCH))
          .withMessage("backward failed");
      assertThatIllegalStateException()
          .isThrownBy(() -> exploding.update(UPDATE))
          .withMessageContaining("without a batch");
      Exploding.at = 0;
      exploding.train(BATCH, UPDATE);
      try (TinyModel unharmed = TinyModel.on(Device.cpu(1), 7)) {
        unharmed.train(BATCH, UPDATE);
        assertThat(values(exploding)).isEqualTo(values(unharmed));
      }
    }
  }

  @Test
  void tellsASecondThreadThatItIsNotAlone() throws InterruptedException {
    CountDownLatch inside = new CountDownLatch(1);
    CountDownLatch done = new CountDownLatch(1);
    AtomicReference<Throwable> failure = new AtomicReference<>();
    Iterable<Batch> slow =
        () -> {
          inside.countDown();
          try {
            done.await();
          } catch (InterruptedException e) {
            throw new IllegalStateException(e);
          }
          return List.of(BATCH).iterator();
        };
    Thread evaluating =
        new Thread(
            () -> {
              try {
                model.evaluate(slow);
              } catch (RuntimeException e) {
                failure.set(e);
              }
            },
            "evaluating");
    evaluating.start();
    inside.await();
    try {
      String me = Thread.currentThread().getName();
      assertThatIllegalStateException()
          .isThrownBy(() -> model.train(BATCH, UPDATE))
          .withMessageContaining("\"" + me + "\"")
          .withMessageContaining("\"evaluating\"");
      assertThatIllegalStateException()
          .isThrownBy(model::close)
          .withMessageContaining("\"evaluating\"");
    } finally {
      done.countDown();
      evaluating.join();
    }
    assertThat(failure.get()).isNull();
    model.train(BATCH, UPDATE);
  }

  @Test
  void isOfNoUseAfterClose() {
    Tensor value = model.next().parameters().get(0).value();
    model.close();
    model.close();
    assertThatIllegalStateException()
        .isThrownBy(() -> model.train(BATCH, UPDATE))
        .withMessage("TinyModel is closed");
    assertThatIllegalStateException().isThrownBy(() -> model.generate(new int[] {0}, 1, 1));
    assertThatIllegalStateException().isThrownBy(() -> model.evaluate(List.of(BATCH)));
    assertThatIllegalStateException().isThrownBy(() -> model.parameters().get(0).value());
    assertThatIllegalStateException().isThrownBy(() -> value.get(0, 0));
    assertThatIllegalStateException().isThrownBy(() -> model.inference());
  }

  @Test
  void inferenceSharesParametersUntilTheLastCloses() {
    TinyModel serving = model.inference();
    double before = serving.evaluate(List.of(BATCH)).loss();
    assertThat(before).isEqualTo(model.evaluate(List.of(BATCH)).loss());
    model.train(BATCH, UPDATE);
    double after = serving.evaluate(List.of(BATCH)).loss();
    assertThat(after).isNotEqualTo(before);
    assertThatIllegalStateException()
        .isThrownBy(() -> serving.train(BATCH, UPDATE))
        .withMessageContaining("for inference");
    assertThatIllegalStateException().isThrownBy(() -> serving.update(UPDATE));
    assertThatIllegalStateException().isThrownBy(serving::resetState);
    assertThatIllegalStateException().isThrownBy(() -> serving.parameters().get(0).gradient());
    assertThatIllegalStateException().isThrownBy(() -> serving.words().freeze(true));
    TinyModel third = serving.inference();
    try (TinyModel fourth = model.inference()) {
      assertThat(fourth.step()).as("updates of the parameters it got").isEqualTo(1);
    }
    model.close();
    serving.close();
    serving.close();
    assertThat(third.evaluate(List.of(BATCH)).loss()).isEqualTo(after);
    assertThat(third.generate(new int[] {0}, 3, 0.5).toArray()).hasSize(3);
    Tensor value = third.parameters().get(0).value();
    assertThat(value.get(0, 0)).isNotZero();
    third.close();
    assertThatIllegalStateException().isThrownBy(() -> value.get(0, 0));
  }

  @Test
  void freesItsMemoryWhenItCannotBeMade() {
    Failing.ARENAS.clear();
    assertThatExceptionOfType(UnsupportedOperationException.class)
        .isThrownBy(() -> TinyModel.on(Device.cpu(1), 7, 3, Optimizer.ADAM, Failing::new))
        .withMessage("no memory for this");
    assertThat(Failing.ARENAS).hasSize(6);
    for (Arena arena : Failing.ARENAS) {
      assertThatIllegalStateException().isThrownBy(() -> arena.matrix(0, 1, 1));
    }
  }

  @Test
  void withoutOptimizerHasGradientsOnly() {
    try (TinyModel bare = TinyModel.on(Device.cpu(1), 7, 3, Optimizer.NONE, TinyModelCpu::new)) {
      bare.accumulate(BATCH);
      assertThat(values(bare.parameters().get(0).gradient())).isNotEqualTo(new float[20]);
      assertThatExceptionOfType(UnsupportedOperationException.class)
          .isThrownBy(() -> bare.update(UPDATE))
          .withMessageContaining("optimizer = NONE");
    }
  }

  @Test
  void withoutOptimizerEachBatchIsAStepOfItsOwn() throws IOException {
    try (TinyModel bare = TinyModel.on(Device.cpu(1), 7, 3, Optimizer.NONE, TinyModelCpu::new)) {
      bare.accumulate(BATCH);
      bare.accumulate(OTHER);
      model.train(BATCH, Update.of(0));
      model.accumulate(OTHER);
      for (int i = 0; i < model.parameters().size(); i++) {
        assertThat(values(bare.parameters().get(i).gradient()))
            .as("neither a mean with the batch before nor the same noise again")
            .isEqualTo(values(model.parameters().get(i).gradient()));
      }
      assertThat(bare.step()).isEqualTo(2);
      Path file = directory.resolve("bare.safetensors");
      bare.save(file);
      bare.accumulate(BATCH);
      bare.load(file);
      assertThat(bare.step()).isEqualTo(2);
    }
  }

  @Test
  void refusesOptionsOfLayersItLacks() {
    assertThatIllegalArgumentException()
        .isThrownBy(
            () ->
                ModelInstance.open(
                    Device.cpu(1),
                    new ModelShape(2, 3, 5),
                    TinyModel.LAYOUT,
                    Options.defaults().withDropout("above", 0.1),
                    0,
                    TinyModelCpu::new))
        .withMessageContaining("dropout of above")
        .withMessageContaining("[words, experts, next]");
  }

  private static TinyModel exploding() {
    return TinyModel.on(Device.cpu(1), 7, 3, Optimizer.ADAM, Exploding::new);
  }

  private static float[] values(LanguageModel of) {
    List<Float> all = new ArrayList<>();
    for (Parameter parameter : of.parameters()) {
      for (float v : values(parameter.value())) {
        all.add(v);
      }
    }
    float[] values = new float[all.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = all.get(i);
    }
    return values;
  }

  private static float[] values(Tensor tensor) {
    float[] values = new float[(int) tensor.size()];
    tensor.copyTo(values);
    return values;
  }

  /** Fails when the last program is built, and tells which arenas there were. */
  private static final class Failing extends TinyModelCpu {
    static final List<Arena> ARENAS = new ArrayList<>();

    Failing(CpuContext context) {
      super(context);
      ARENAS.addAll(List.of(context.parameters(), context.gradients()));
      ARENAS.addAll(List.of(context.firstMoments(), context.secondMoments()));
    }

    @Override
    protected CpuProgram train(CpuContext context) {
      ARENAS.addAll(List.of(context.workspace(), context.state()));
      return super.train(context);
    }

    @Override
    protected CpuProgram generate(CpuContext context) {
      throw new UnsupportedOperationException("no memory for this");
    }
  }

  /** Its backward leaves an infinite gradient in step {@link #at}, or fails if that is negative. */
  private static final class Exploding extends TinyModelCpu {
    static int at;

    Exploding(CpuContext context) {
      super(context);
    }

    @Override
    protected CpuProgram train(CpuContext context) {
      CpuProgram good = super.train(context);
      return new ForwardingProgram(good) {
        @Override
        public void backward(dev.topknot.runtime.cpu.Run run) {
          good.backward(run);
          if (at < 0) {
            throw new IllegalStateException("backward failed");
          }
          if (run.step() + 1 == at) {
            context.gradients().matrix(192, 1, 5).set(0, 3, Float.POSITIVE_INFINITY);
          }
        }
      };
    }
  }
}
