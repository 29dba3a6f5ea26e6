package dev.topknot.text;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Checkpoint;
import dev.topknot.runtime.Evaluation;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Schedule;
import dev.topknot.runtime.Step;
import java.io.IOException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.ToDoubleFunction;

/**
 * Trains a language model on a corpus: steps, measures, evaluates, saves, resumes.
 *
 * <pre>{@code
 * Corpus corpus = Corpus.at(Path.of("text")).read(model.vocabulary());
 * try (Trainer trainer =
 *     Trainer.of(model, corpus)
 *         .schedule(Schedule.warmupInverseSqrt(0.003, 500).withClip(1))
 *         .epochs(2)
 *         .checkpoints(Path.of("runs/first"))
 *         .stopOnShutdown()
 *         .build()) {
 *   TrainingResult result = trainer.run();
 *   System.out.println(result.heldOut().orElseThrow().perplexity());
 * }
 * }</pre>
 *
 * <p>Each epoch goes through the {@linkplain Batches batches} of the training text in the same
 * order and starts from zero state. With a directory for checkpoints, {@value #MODEL_FILE}
 * (parameters, optimizer, carried state and position), {@value #VOCABULARY_FILE} and the files of
 * {@link TrainingLog} are kept there: at the end, every so many steps if asked, and when training
 * is stopped. A resumed run goes on to the same bits as one that was never broken.
 */
public final class Trainer implements AutoCloseable {
  /** The checkpoint of the model in the directory of a run. */
  public static final String MODEL_FILE = "model.safetensors";

  /** The vocabulary in the directory of a run. */
  public static final String VOCABULARY_FILE = "vocabulary.txt";

  private static final String LOCK_FILE = ".lock";
  private static final String EXTRA_POSITION = "training.position";
  private static final String EXTRA_TOKENS = "training.tokens";
  private static final String EXTRA_SECONDS = "training.seconds";
  private static final String EXTRA_CORPUS = "training.corpus";
  private static final String EXTRA_SHAPE = "training.shape";
  private static final long SHUTDOWN_SECONDS = 60;

  private final LanguageModel model;
  private final Corpus corpus;
  private final Schedule schedule;
  private final long maxSteps;
  private final double limitSeconds;
  private final long measureEvery;
  private final long evaluateEvery;
  private final long evaluationTokens;
  private final Path directory;
  private final long saveEvery;
  private final boolean resume;
  private final List<TrainingListener> listeners;
  private final Batches batches;
  private final String fingerprint;
  private final CountDownLatch closed = new CountDownLatch(1);
  private final Thread shutdownHook;

  private volatile boolean stopped;
  private boolean interrupted;
  private boolean started;
  private long position;
  private long tokens;
  private double seconds;
  private double earlierSeconds;
  private long start;
  private TrainingLog log = new TrainingLog(List.of(), List.of());
  private Window window = new Window();

  private Trainer(Builder builder) {
    model = builder.model;
    corpus = builder.corpus;
    schedule = builder.schedule;
    batches = corpus.training().batches(model);
    maxSteps = Math.min(builder.steps, saturatedProduct(builder.epochs, batches.steps()));
    limitSeconds = builder.limitSeconds;
    measureEvery = builder.measureEvery;
    evaluateEvery = builder.evaluateEvery;
    evaluationTokens = builder.evaluationTokens;
    directory = builder.directory;
    saveEvery = builder.saveEvery;
    resume = builder.resume;
    listeners = List.copyOf(builder.listeners);
    fingerprint = corpus.training().fingerprint();
    shutdownHook = builder.stopOnShutdown ? new Thread(this::stopAndWait, "topknot-stop") : null;
    if (shutdownHook != null) {
      Runtime.getRuntime().addShutdownHook(shutdownHook);
    }
  }

  private static long saturatedProduct(long a, long b) {
    return a > Long.MAX_VALUE / b ? Long.MAX_VALUE : a * b;
  }

  /** Starts to describe a training run. The model's vocabulary must hold the corpus's. */
  public static Builder of(LanguageModel model, Corpus corpus) {
    return new Builder(model, corpus);
  }

  /**
   * Tells training to stop after the step it is in and to save; from any thread. So does
   * interrupting the thread that trains.
   */
  public void stop() {
    stopped = true;
  }

  /**
   * Trains until the steps are done, the time is over, or it is told to stop.
   *
   * @throws IllegalStateException if it ran before, if there is nothing to resume, if there is a
   *     checkpoint that a new run would overwrite, or if another run trains in the directory
   * @throws IllegalArgumentException if the checkpoint to resume is of another text or batch shape,
   *     or does not say where training stopped
   * @throws NonFiniteException if loss or gradient is no longer finite; what was learned before
   *     that step is saved
   * @throws IOException if a file cannot be read or written
   */
  @SuppressWarnings("try") // the lock is held, not used
  public TrainingResult run() throws IOException {
    if (started) {
      throw new IllegalStateException("this trainer ran already; build another one to go on");
    }
    started = true;
    start = System.nanoTime();
    try (FileChannel lock = claim()) {
      return runToTheEnd();
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private TrainingResult runToTheEnd() throws IOException {
    told();
    prepare();
    try {
      train();
    } catch (NonFiniteException e) {
      save();
      throw e;
    }
    measure(false);
    save();
    boolean broken = told();
    Optional<Evaluation> heldOut = broken ? Optional.empty() : evaluate(Long.MAX_VALUE);
    return new TrainingResult(model.step(), tokens, seconds, broken || stopped, heldOut, log);
  }

  /**
   * Whether training was told to stop. Takes the interrupt from the thread, until the end of the
   * run: files close under a thread that is interrupted while it writes them.
   */
  private boolean told() {
    interrupted |= Thread.interrupted();
    return stopped || interrupted;
  }

  /** Ends the run for {@link Builder#stopOnShutdown}: the JVM may go. */
  @Override
  public void close() {
    closed.countDown();
    if (shutdownHook != null) {
      try {
        Runtime.getRuntime().removeShutdownHook(shutdownHook);
      } catch (IllegalStateException e) {
        // The JVM shuts down already: that is why training stopped.
      }
    }
  }

  private void stopAndWait() {
    stop();
    try {
      closed.await(SHUTDOWN_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /**
   * Makes the directory and locks it until the channel closes, so that no other run overwrites what
   * this one saves; null without a directory. The lock ends with the process, the file stays.
   */
  private FileChannel claim() throws IOException {
    if (directory == null) {
      return null;
    }
    Path checkpoint = directory.resolve(MODEL_FILE);
    if (resume && !Files.exists(checkpoint)) {
      throw new IllegalStateException("nothing to resume: there is no " + checkpoint);
    }
    told(); // a channel closes under an interrupted thread
    Files.createDirectories(directory);
    FileChannel channel =
        FileChannel.open(
            directory.resolve(LOCK_FILE), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    if (!locked(channel)) {
      channel.close();
      throw new IllegalStateException(
          directory + " belongs to a run that still trains: stop it, or choose another directory");
    }
    deleteHalfCheckpoints();
    return channel;
  }

  /** What a process left that died while it saved: as large as a checkpoint, of use to nobody. */
  private void deleteHalfCheckpoints() throws IOException {
    try (DirectoryStream<Path> halves =
        Files.newDirectoryStream(directory, "." + MODEL_FILE + ".*")) {
      for (Path half : halves) {
        Files.delete(half);
      }
    }
  }

  private static boolean locked(FileChannel channel) {
    try {
      return channel.tryLock() != null;
    } catch (OverlappingFileLockException e) { // this process has it
      return false;
    } catch (IOException e) { // a file system without locks cannot tell
      return true;
    }
  }

  private void prepare() throws IOException {
    if (directory == null) {
      return;
    }
    Path checkpoint = directory.resolve(MODEL_FILE);
    if (resume) {
      restore(checkpoint);
      log = TrainingLog.read(directory).upTo(model.step());
    } else if (Files.exists(checkpoint)) {
      throw new IllegalStateException(
          directory + " holds a checkpoint already: resume it, or choose another directory");
    }
    corpus.vocabulary().save(directory.resolve(VOCABULARY_FILE));
    log.write(directory);
  }

  private void restore(Path checkpoint) throws IOException {
    Checkpoint saved = Checkpoint.read(checkpoint);
    Map<String, String> extra = saved.extra();
    expectSame(checkpoint, "trained on the text", extra.get(EXTRA_CORPUS), fingerprint);
    expectSame(checkpoint, "trained with batch x timesteps", extra.get(EXTRA_SHAPE), shape());
    expectSame(checkpoint, "seeded with", "" + saved.seed(), "" + model.seed());
    long savedPosition = (long) number(checkpoint, extra, EXTRA_POSITION, Long::parseLong);
    long savedTokens = (long) number(checkpoint, extra, EXTRA_TOKENS, Long::parseLong);
    double savedSeconds = number(checkpoint, extra, EXTRA_SECONDS, Double::parseDouble);
    model.load(checkpoint);
    position = savedPosition;
    tokens = savedTokens;
    seconds = savedSeconds;
    earlierSeconds = seconds;
  }

  private static double number(
      Path checkpoint, Map<String, String> extra, String key, ToDoubleFunction<String> parse) {
    String text = extra.getOrDefault(key, "nothing");
    try {
      double value = parse.applyAsDouble(text);
      if (value >= 0 && value < Double.POSITIVE_INFINITY) {
        return value;
      }
    } catch (NumberFormatException e) {
      // said below
    }
    throw new IllegalArgumentException(
        checkpoint + ": expected a number of 0 or more as its " + key + ", got " + text);
  }

  private static void expectSame(Path checkpoint, String what, String saved, String given) {
    if (!given.equals(saved)) {
      throw new IllegalArgumentException(
          checkpoint
              + (saved == null
                  ? ": not a trainer's checkpoint, its position is unknown"
                  : ": was " + what + " " + saved + ", but this run has " + given));
    }
  }

  private String shape() {
    return model.batch() + " x " + model.timesteps();
  }

  private void train() throws IOException {
    Iterator<Batch> epoch = null;
    while (position < maxSteps && !told() && timeLeft()) {
      if (epoch == null || !epoch.hasNext()) {
        long offset = position % batches.steps();
        if (offset == 0) {
          model.resetState();
        }
        epoch = batches.from(offset).iterator();
      }
      Batch batch = epoch.next();
      long before = System.nanoTime();
      Step step = model.train(batch, schedule.at(model.step()));
      double elapsed = (System.nanoTime() - before) / 1e9;
      position++;
      tokens += step.tokens();
      seconds += elapsed;
      window.add(step, elapsed);
      Progress progress = new Progress(step, position, maxSteps, tokens, fraction());
      listeners.forEach(listener -> listener.stepped(progress));
      boolean evaluate = due(evaluateEvery);
      if (evaluate || due(measureEvery)) {
        measure(evaluate);
      }
      if (due(saveEvery) && position < maxSteps) {
        save();
      }
    }
  }

  private boolean due(long every) {
    return every > 0 && position % every == 0;
  }

  /** Time since the start, of an earlier part of this run the training steps only. */
  private double runningSeconds() {
    return earlierSeconds + (System.nanoTime() - start) / 1e9;
  }

  private boolean timeLeft() {
    return runningSeconds() < limitSeconds;
  }

  private double fraction() {
    double bySteps = maxSteps == Long.MAX_VALUE ? 0 : (double) position / maxSteps;
    double byTime = runningSeconds() / limitSeconds;
    return Math.min(1, Math.max(bySteps, byTime));
  }

  private void measure(boolean evaluate) throws IOException {
    if (window.steps == 0) {
      return;
    }
    double perplexity =
        evaluate
            ? evaluate(evaluationTokens).map(Evaluation::perplexity).orElse(Double.NaN)
            : Double.NaN;
    Metrics row = window.row(tokens, seconds, perplexity);
    List<ExpertLoad> loads = window.loads();
    window = new Window();
    log.add(row, loads);
    if (directory != null) {
      told();
      TrainingLog.append(directory, row, loads);
    }
    listeners.forEach(listener -> listener.measured(row));
  }

  /** Perplexity of about so many held-out tokens; empty when told to stop meanwhile. */
  private Optional<Evaluation> evaluate(long limit) {
    Batches heldOut = corpus.heldOut().batches(model);
    long stepTokens = (long) model.batch() * model.timesteps();
    Batches part = heldOut.first(limit / stepTokens + (limit % stepTokens == 0 ? 0 : 1));
    Evaluation evaluation = model.evaluate(() -> untilStopped(part.iterator()));
    return stopped ? Optional.empty() : Optional.of(evaluation);
  }

  /** The first batch in any case, since there is no evaluation of none. */
  private Iterator<Batch> untilStopped(Iterator<Batch> all) {
    return new Iterator<>() {
      private boolean first = true;

      @Override
      public boolean hasNext() {
        return all.hasNext() && (first || !stopped);
      }

      @Override
      public Batch next() {
        first = false;
        return all.next();
      }
    };
  }

  private void save() throws IOException {
    if (directory == null) {
      return;
    }
    Path checkpoint = directory.resolve(MODEL_FILE);
    Map<String, String> extra =
        Map.of(
            EXTRA_POSITION, Long.toString(position),
            EXTRA_TOKENS, Long.toString(tokens),
            EXTRA_SECONDS, Double.toString(seconds),
            EXTRA_CORPUS, fingerprint,
            EXTRA_SHAPE, shape());
    told();
    try {
      model.save(checkpoint, extra);
    } catch (ClosedByInterruptException e) { // told to stop in the middle of it
      told();
      model.save(checkpoint, extra);
    }
    listeners.forEach(listener -> listener.saved(checkpoint, model.step()));
  }

  /** What the steps since the last row of metrics add up to. */
  private static final class Window {
    private long steps;
    private long number;
    private long tokens;
    private double seconds;
    private double lossSum;
    private double gradientNorms;
    private double rate;
    private List<Balance> balances = List.of();

    void add(Step step, double elapsed) {
      steps++;
      number = step.number();
      tokens += step.tokens();
      seconds += elapsed;
      lossSum += step.loss() * step.tokens();
      gradientNorms += step.gradientNorm();
      rate = step.rate();
      List<Balance> sums = new ArrayList<>();
      for (int i = 0; i < step.balances().size(); i++) {
        Balance balance = step.balances().get(i);
        sums.add(balances.isEmpty() ? balance : balances.get(i).plus(balance));
      }
      balances = sums;
    }

    Metrics row(long allTokens, double allSeconds, double heldOutPerplexity) {
      double loss = lossSum / tokens;
      Optional<Balance> balance = balances.stream().findFirst();
      return new Metrics(
          number,
          allTokens,
          allSeconds,
          loss,
          Math.exp(loss),
          heldOutPerplexity,
          balance.map(Balance::importanceCv).orElse(Double.NaN),
          balance.map(Balance::loadCv).orElse(Double.NaN),
          balance.map(Balance::maxOverMeanLoad).orElse(Double.NaN),
          tokens / seconds,
          rate,
          gradientNorms / steps);
    }

    List<ExpertLoad> loads() {
      return balances.stream().map(b -> ExpertLoad.of(number, b.layer(), b.tokens())).toList();
    }
  }

  /** What a training run is to be; every setting but the model and the corpus has a default. */
  public static final class Builder {
    private final LanguageModel model;
    private final Corpus corpus;
    private Schedule schedule = Schedule.warmupInverseSqrt(0.002, 1000).withClip(1);
    private long epochs = 1;
    private long steps = Long.MAX_VALUE;
    private double limitSeconds = Double.POSITIVE_INFINITY;
    private long measureEvery = 50;
    private long evaluateEvery;
    private long evaluationTokens = Long.MAX_VALUE;
    private Path directory;
    private long saveEvery;
    private boolean resume;
    private boolean stopOnShutdown;
    private final List<TrainingListener> listeners = new ArrayList<>();

    private Builder(LanguageModel model, Corpus corpus) {
      this.model = model;
      this.corpus = corpus;
      if (corpus.vocabulary().size() > model.vocabulary()) {
        throw new IllegalArgumentException(
            "vocabulary: the corpus has "
                + corpus.vocabulary().size()
                + " entries, the model "
                + model.vocabulary());
      }
    }

    /** Learning rate and clipping; to 0.002 in 1000 steps, clipped to norm 1, unless set. */
    public Builder schedule(Schedule value) {
      schedule = Objects.requireNonNull(value, "schedule");
      return this;
    }

    /** Passes over the training text, in all, a resumed part included: 1 unless set. */
    public Builder epochs(long count) {
      epochs = positive("epochs", count);
      return this;
    }

    /** Steps at most, in all, a resumed part included. */
    public Builder steps(long count) {
      steps = positive("steps", count);
      return this;
    }

    /** Time at most, evaluating and saving included, and the training steps of a resumed part. */
    public Builder timeLimit(Duration limit) {
      if (limit.compareTo(Duration.ofMillis(1)) < 0) {
        throw new IllegalArgumentException("time limit: expected at least 1 ms, got " + limit);
      }
      limitSeconds = limit.getSeconds() + limit.getNano() / 1e9; // toNanos ends at 292 years
      return this;
    }

    /** Steps from one row of metrics to the next: 50 unless set. */
    public Builder measureEvery(long count) {
      measureEvery = positive("measureEvery", count);
      return this;
    }

    /**
     * Asks the held-out text every so many steps, besides the end.
     *
     * @param maxTokens how much of it, rounded up to whole batches; the end always asks all of it
     */
    public Builder evaluateEvery(long count, long maxTokens) {
      evaluateEvery = positive("evaluateEvery", count);
      evaluationTokens = positive("evaluation tokens", maxTokens);
      return this;
    }

    /** Keeps the checkpoint, the vocabulary and the figures in a directory. */
    public Builder checkpoints(Path runDirectory) {
      directory = Objects.requireNonNull(runDirectory, "directory");
      return this;
    }

    /** Saves every so many steps, besides the end. */
    public Builder saveEvery(long count) {
      saveEvery = positive("saveEvery", count);
      return this;
    }

    /** Whether to go on from the checkpoint in the directory. */
    public Builder resume(boolean value) {
      resume = value;
      return this;
    }

    /**
     * Stops training when the JVM is told to end, as by Ctrl-C, and holds the JVM up until the
     * trainer is closed, a minute at most.
     */
    public Builder stopOnShutdown() {
      stopOnShutdown = true;
      return this;
    }

    /** Adds someone to tell how training goes. */
    public Builder listener(TrainingListener listener) {
      listeners.add(Objects.requireNonNull(listener, "listener"));
      return this;
    }

    /** The trainer, ready to run once. */
    public Trainer build() {
      if (directory == null && (resume || saveEvery > 0)) {
        throw new IllegalStateException("resuming and saving want a directory: checkpoints(...)");
      }
      return new Trainer(this);
    }

    private static long positive(String name, long count) {
      if (count < 1) {
        throw new IllegalArgumentException(name + ": expected at least 1, got " + count);
      }
      return count;
    }
  }
}
