package dev.topknot.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.topknot.runtime.Checkpoint;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Schedule;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TrainerTest {
  private static final int BATCH = 3;
  private static final int TIMESTEPS = 4;
  private static final int VOCABULARY = 7;

  /** 101 tokens: an epoch of 9 steps, the last with 5 tokens of 12. */
  private static final int STEPS = 9;

  private static final Schedule SCHEDULE = Schedule.warmupInverseSqrt(0.1, 5);

  @TempDir Path runs;

  private static Corpus corpus(int salt) {
    List<String> types = new ArrayList<>(List.of("</S>", "<UNK>"));
    for (int i = 2; i < VOCABULARY; i++) {
      types.add("w" + i);
    }
    long[] typeCounts = IntStream.range(0, VOCABULARY).mapToLong(i -> 100 - i).toArray();
    return new Corpus(
        Vocabulary.of(VOCABULARY, types, typeCounts),
        Tokens.of(IntStream.range(0, 101).map(i -> (i * i + salt) % VOCABULARY).toArray()),
        Tokens.of(IntStream.range(0, 50).map(i -> (i + i / 3) % VOCABULARY).toArray()));
  }

  private static CountingModel model() {
    return new CountingModel(BATCH, TIMESTEPS, VOCABULARY, 11);
  }

  private static Trainer.Builder training(CountingModel model) {
    return Trainer.of(model, corpus(0)).schedule(SCHEDULE).epochs(3).measureEvery(2);
  }

  private static CountingModel unbroken() throws IOException {
    CountingModel model = model();
    try (Trainer trainer = training(model).build()) {
      trainer.run();
    }
    return model;
  }

  @Test
  void goesThroughEveryEpochFromZeroState() throws IOException {
    CountingModel model = model();
    List<Progress> progress = new ArrayList<>();
    try (Trainer trainer =
        training(model)
            .listener(
                new TrainingListener() {
                  @Override
                  public void stepped(Progress step) {
                    progress.add(step);
                  }
                })
            .build()) {
      TrainingResult result = trainer.run();
      assertThat(result.step()).isEqualTo(3 * STEPS);
      assertThat(result.tokens()).isEqualTo(3 * 101);
      assertThat(result.stopped()).isFalse();
      assertThat(result.heldOut().orElseThrow().tokens()).isEqualTo(50);
      assertThat(model.resets).isEqualTo(3);
      assertThat(progress).hasSize(3 * STEPS);
      assertThat(progress.get(STEPS - 1).tokens()).isEqualTo(101);
      assertThat(progress.get(4).step().rate()).isEqualTo(0.1);
      assertThat(progress.get(3 * STEPS - 1).fraction()).isEqualTo(1);
      assertThatThrownBy(trainer::run)
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("ran already");
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 4, 9, 10, 18, 26, 27})
  void goesOnToTheSameBitsAfterAStop(long stopAt) throws IOException {
    CountingModel first = model();
    Path directory = runs.resolve("run");
    TrainingResult broken = runUntil(first, directory, stopAt);
    assertThat(broken.stopped()).isTrue();
    assertThat(broken.step()).isEqualTo(stopAt);
    assertThat(broken.heldOut()).isEmpty();

    CountingModel second = model();
    try (Trainer trainer = training(second).checkpoints(directory).resume(true).build()) {
      TrainingResult result = trainer.run();
      assertThat(result.step()).isEqualTo(3 * STEPS);
      assertThat(result.tokens()).isEqualTo(3 * 101);
      assertThat(result.heldOut()).isPresent();
      assertThat(result.log().metrics().get(0).step()).isEqualTo(Math.min(2, stopAt));
    }
    assertThat(second.bits()).isEqualTo(unbroken().bits());
  }

  @Test
  void goesOnFromTheLatestCheckpointAfterACrash() throws IOException {
    Path directory = runs.resolve("run");
    try (Trainer trainer =
        training(model())
            .checkpoints(directory)
            .saveEvery(6)
            .listener(
                new TrainingListener() {
                  @Override
                  public void stepped(Progress progress) {
                    if (progress.position() == 17) {
                      throw new IllegalStateException("power cut");
                    }
                  }
                })
            .build()) {
      assertThatThrownBy(trainer::run).hasMessage("power cut");
    }
    assertThat(TrainingLog.read(directory).metrics())
        .extracting(Metrics::step)
        .endsWith(12L, 14L, 16L);
    CountingModel second = model();
    try (Trainer trainer = training(second).checkpoints(directory).resume(true).build()) {
      trainer.run();
    }
    assertThat(second.bits()).isEqualTo(unbroken().bits());
    TrainingLog log = TrainingLog.read(directory);
    assertThat(log.metrics())
        .extracting(Metrics::step)
        .containsExactly(2L, 4L, 6L, 8L, 10L, 12L, 14L, 16L, 18L, 20L, 22L, 24L, 26L, 27L);
    assertThat(log.loads()).hasSize(14);
  }

  @Test
  void goesOnAfterACrashInTheMiddleOfARow() throws IOException {
    Path directory = runs.resolve("run");
    runUntil(model(), directory, 5);
    for (String name : List.of(TrainingLog.METRICS_FILE, TrainingLog.LOAD_FILE)) {
      Files.writeString(directory.resolve(name), "6,72,0.1", StandardOpenOption.APPEND);
    }
    CountingModel second = model();
    try (Trainer trainer = training(second).checkpoints(directory).resume(true).build()) {
      trainer.run();
    }
    assertThat(second.bits()).isEqualTo(unbroken().bits());
    assertThat(TrainingLog.read(directory).metrics())
        .extracting(Metrics::step)
        .startsWith(2L, 4L, 5L, 6L);
  }

  @Test
  void measuresWhatHappenedSinceTheRowBefore() throws IOException {
    Path directory = runs.resolve("run");
    CountingModel model = model();
    try (Trainer trainer =
        training(model).epochs(1).evaluateEvery(4, 13).checkpoints(directory).build()) {
      TrainingResult result = trainer.run();
      List<Metrics> rows = result.log().metrics();
      assertThat(rows).extracting(Metrics::step).containsExactly(2L, 4L, 6L, 8L, 9L);
      assertThat(rows)
          .extracting(Metrics::evaluated)
          .containsExactly(false, true, false, true, false);
      assertThat(rows).extracting(Metrics::tokens).containsExactly(24L, 48L, 72L, 96L, 101L);
      Metrics row = rows.get(1);
      assertThat(row.trainPerplexity()).isCloseTo(Math.exp(row.loss()), within(1e-12));
      assertThat(row.gradientNorm()).isEqualTo(7);
      assertThat(row.rate()).isCloseTo(0.1 * 4 / 5, within(1e-12));
      assertThat(row.importanceCv()).isCloseTo(0.5, within(1e-12));
      assertThat(row.loadCv()).isZero();
      assertThat(row.maxOverMeanLoad()).isEqualTo(1);
      assertThat(result.log().loads().get(1))
          .isEqualTo(new ExpertLoad(4, "experts", List.of(24L, 7L)));

      TrainingLog read = TrainingLog.read(directory);
      assertThat(read.loads()).isEqualTo(result.log().loads());
      assertThat(read.metrics()).extracting(Metrics::step).containsExactly(2L, 4L, 6L, 8L, 9L);
      assertThat(read.metrics().get(1).loss()).isCloseTo(row.loss(), within(1e-5));
      assertThat(read.metrics().get(0).heldOutPerplexity()).isNaN();
    }
  }

  @Test
  void refusesACheckpointOfAnotherRun() throws IOException {
    Path directory = runs.resolve("run");
    runUntil(model(), directory, 5);
    CountingModel model = model();
    assertRefused(
        Trainer.of(model, corpus(1)).checkpoints(directory).resume(true),
        "was trained on the text");
    assertRefused(
        training(new CountingModel(BATCH, 5, VOCABULARY, 11)).checkpoints(directory).resume(true),
        "was trained with batch x timesteps 3 x 4, but this run has 3 x 5");
    assertRefused(
        training(new CountingModel(BATCH, TIMESTEPS, VOCABULARY, 12))
            .checkpoints(directory)
            .resume(true),
        "was seeded with 11, but this run has 12");
    assertRefused(training(model).checkpoints(directory), "holds a checkpoint already");
    assertRefused(
        training(model).checkpoints(runs.resolve("nowhere")).resume(true), "nothing to resume");
    assertThat(model.step()).isZero();
  }

  private static void assertRefused(Trainer.Builder builder, String message) {
    try (Trainer trainer = builder.build()) {
      assertThatThrownBy(trainer::run).hasMessageContaining(message);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "position, abc",
    "position, -7",
    "tokens, -1",
    "tokens, 1e3",
    "seconds, NaN",
    "seconds, Infinity"
  })
  void refusesACheckpointWithoutAPosition(String key, String value) throws IOException {
    Path directory = runs.resolve("run");
    CountingModel model = model();
    runUntil(model, directory, 5);
    Map<String, String> extra =
        new HashMap<>(Checkpoint.read(directory.resolve(Trainer.MODEL_FILE)).extra());
    extra.remove("bits");
    extra.put("training." + key, value);
    model.save(directory.resolve(Trainer.MODEL_FILE), extra);
    CountingModel second = model();
    assertRefused(
        training(second).checkpoints(directory).resume(true),
        "expected a number of 0 or more as its training." + key + ", got " + value);
    assertThat(second.bits()).as("nothing was loaded").isEqualTo(model().bits());
  }

  @Test
  void refusesADirectoryInWhichAnotherRunTrains() throws IOException {
    Path directory = runs.resolve("run");
    CountingModel model = model();
    TrainingListener intruder =
        new TrainingListener() {
          @Override
          public void stepped(Progress progress) {
            assertRefused(training(model()).checkpoints(directory), "a run that still trains");
          }
        };
    try (Trainer trainer =
        training(model).checkpoints(directory).steps(2).listener(intruder).build()) {
      trainer.run();
    }
    Path half = Files.createFile(directory.resolve("." + Trainer.MODEL_FILE + ".dead"));
    try (Trainer trainer = training(model()).checkpoints(directory).resume(true).build()) {
      assertThat(trainer.run().step()).as("the lock ends with the run").isEqualTo(3 * STEPS);
    }
    assertThat(half).as("of a process that died while it saved").doesNotExist();
  }

  @Test
  void savesWhatWasLearnedBeforeAStepThatIsNotFinite() throws IOException {
    Path directory = runs.resolve("run");
    CountingModel model = model();
    model.brokenStep = 7;
    try (Trainer trainer = training(model).checkpoints(directory).build()) {
      assertThatThrownBy(trainer::run).isInstanceOf(NonFiniteException.class);
    }
    CountingModel second = model();
    try (Trainer trainer = training(second).checkpoints(directory).resume(true).build()) {
      trainer.run();
    }
    assertThat(second.bits()).isEqualTo(unbroken().bits());
  }

  /** After step 4 there is a row of metrics to write, after 5 a checkpoint; 27 is the last. */
  @ParameterizedTest
  @ValueSource(longs = {3, 4, 5, 27})
  void stopsAndSavesWhenItsThreadIsInterrupted(long at) throws IOException {
    Path directory = runs.resolve("run");
    CountingModel model = model();
    try (Trainer trainer =
        training(model)
            .checkpoints(directory)
            .saveEvery(5)
            .listener(
                new TrainingListener() {
                  @Override
                  public void stepped(Progress progress) {
                    if (progress.position() == at) {
                      Thread.currentThread().interrupt();
                    }
                  }
                })
            .build()) {
      TrainingResult result = trainer.run();
      assertThat(Thread.interrupted()).as("the flag is left as it was").isTrue();
      assertThat(result.stopped()).isTrue();
      assertThat(result.step()).isEqualTo(at);
    }
    CountingModel saved = model();
    saved.load(directory.resolve(Trainer.MODEL_FILE));
    assertThat(saved.bits()).isEqualTo(model.bits());
  }

  @Test
  void endsWhenTheTimeIsOver() throws IOException {
    CountingModel model = model();
    try (Trainer trainer =
        training(model).epochs(Long.MAX_VALUE).timeLimit(Duration.ofMillis(50)).build()) {
      TrainingResult result = trainer.run();
      assertThat(result.stopped()).isFalse();
      assertThat(result.heldOut()).isPresent();
    }
  }

  @Test
  void timeWithoutEnd() throws IOException {
    Duration limit = Duration.ofSeconds(Long.MAX_VALUE);
    try (Trainer trainer = training(model()).timeLimit(limit).build()) {
      assertThat(trainer.run().step()).isEqualTo(3 * STEPS);
    }
  }

  @Test
  void endsAfterSoManySteps() throws IOException {
    CountingModel model = model();
    try (Trainer trainer = training(model).steps(4).build()) {
      assertThat(trainer.run().step()).isEqualTo(4);
    }
  }

  @Test
  void refusesSettingsThatMakeNoSense() {
    CountingModel model = model();
    assertThatThrownBy(() -> training(model).epochs(0))
        .hasMessage("epochs: expected at least 1, got 0");
    assertThatThrownBy(() -> training(model).timeLimit(Duration.ZERO))
        .hasMessage("time limit: expected at least 1 ms, got PT0S");
    assertThatThrownBy(() -> training(model).resume(true).build())
        .hasMessageContaining("want a directory");
    assertThatThrownBy(() -> Trainer.of(new CountingModel(1, 1, 6, 0), corpus(0)))
        .hasMessage("vocabulary: the corpus has 7 entries, the model 6");
  }

  /**
   * Ctrl-C in a JVM of its own: the step ends, the checkpoint is whole, and goes on as if never
   * broken.
   */
  @Test
  void savesWhenTheJvmIsToldToEnd() throws Exception {
    Path directory = runs.resolve("run");
    Process jvm =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx128m",
                "-cp",
                System.getProperty("java.class.path"),
                Interruptible.class.getName(),
                directory.toString())
            .redirectErrorStream(true)
            .start();
    List<String> lines = new ArrayList<>();
    try (BufferedReader out = jvm.inputReader()) {
      lines.add(out.readLine());
      jvm.toHandle().destroy(); // unlike Process.destroy, leaves its output open
      out.lines().forEach(lines::add);
    } finally {
      jvm.destroyForcibly();
    }
    assertThat(lines.get(0)).isEqualTo("training");
    assertThat(lines).as("what follows run() is done, too").last().asString().startsWith("stopped");
    CountingModel model = model();
    try (Trainer trainer = training(model).checkpoints(directory).resume(true).build()) {
      assertThat(trainer.run().step()).isEqualTo(3 * STEPS);
    }
    assertThat(model.bits()).isEqualTo(unbroken().bits());
  }

  /** Trains two steps, then waits in the third until it is told to stop. */
  static final class Interruptible {
    public static void main(String[] arguments) throws IOException {
      try (Trainer trainer =
          training(model())
              .checkpoints(Path.of(arguments[0]))
              .stopOnShutdown()
              .listener(new WaitingListener())
              .build()) {
        TrainingResult result = trainer.run();
        System.out.println((result.stopped() ? "stopped at " : "ended at ") + result.step());
      }
    }
  }

  private static final class WaitingListener implements TrainingListener {
    @Override
    public void stepped(Progress progress) {
      if (progress.position() == 2) {
        System.out.println("training");
      }
      if (progress.position() >= 2) {
        try {
          Thread.sleep(200);
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
        }
      }
    }
  }

  private static TrainingResult runUntil(CountingModel model, Path directory, long stopAt)
      throws IOException {
    Trainer[] trainer = new Trainer[1];
    trainer[0] =
        training(model)
            .checkpoints(directory)
            .listener(
                new TrainingListener() {
                  @Override
                  public void stepped(Progress progress) {
                    if (progress.position() == stopAt) {
                      trainer[0].stop();
                    }
                  }
                })
            .build();
    try (Trainer running = trainer[0]) {
      TrainingResult result = running.run();
      assertThat(Files.exists(directory.resolve(Trainer.VOCABULARY_FILE))).isTrue();
      return result;
    }
  }
}
