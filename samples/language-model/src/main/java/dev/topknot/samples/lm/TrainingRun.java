package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.text.Corpus;
import dev.topknot.text.Progress;
import dev.topknot.text.Trainer;
import dev.topknot.text.TrainingListener;
import dev.topknot.text.TrainingResult;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.Function;

/** Trains one model on one text: what {@code train} does once and {@code compare} twice. */
final class TrainingRun {
  /** Held-out tokens of an evaluation on the way; the end asks all of them. */
  private static final long EVALUATION_TOKENS = 20_000;

  private static final long MEASURE_EVERY = 50;

  private final Settings settings;
  private final Corpus corpus;
  private final Path directory;
  private final TrainingOptions options;
  private final PrintWriter out;

  TrainingRun(
      Settings settings, Corpus corpus, Path directory, TrainingOptions options, PrintWriter out) {
    this.settings = settings;
    this.corpus = corpus;
    this.directory = directory;
    this.options = options;
    this.out = out;
  }

  /**
   * Trains until the end or Ctrl-C.
   *
   * @param finish what to do with the outcome before the JVM may end
   */
  Outcome run(Device device, boolean resume, Display display, Function<Outcome, String> finish)
      throws IOException {
    try (LanguageModel model = settings.model().on(device, settings.seed(), settings.options());
        Trainer trainer = trainer(model, resume, display)) {
      long parameters =
          model.parameters().stream()
              .mapToLong(p -> Arrays.stream(p.shape()).reduce(1, Math::multiplyExact))
              .sum();
      out.printf(
          Locale.ROOT,
          "Model: %s, %,d parameters, seed %d, on %s%nRun: %s (Ctrl-C saves it, --resume goes on)%n",
          settings.model(),
          parameters,
          settings.seed(),
          device.name(),
          directory);
      out.flush();
      TrainingResult result = trainer.run();
      display.close();
      Outcome outcome =
          new Outcome(
              directory, settings, parameters, device.name(), corpus.unigramPerplexity(), result);
      print(outcome);
      out.println(finish.apply(outcome));
      out.flush();
      return outcome;
    }
  }

  private Trainer trainer(LanguageModel model, boolean resume, Display display) {
    return builder(model, corpus, settings, directory)
        .evaluateEvery(options.evaluateEvery, EVALUATION_TOKENS)
        .saveEvery(options.saveEvery)
        .resume(resume)
        .listener(display)
        .build();
  }

  /** A trainer that goes by the settings and keeps them with the run. */
  static Trainer.Builder builder(
      LanguageModel model, Corpus corpus, Settings settings, Path directory) {
    Trainer.Builder builder =
        Trainer.of(model, corpus)
            .schedule(settings.schedule())
            .epochs(settings.epochs())
            .measureEvery(MEASURE_EVERY)
            .checkpoints(directory)
            .stopOnShutdown()
            .listener(keeping(settings, directory));
    if (settings.steps() != null) {
      builder.steps(settings.steps());
    }
    if (settings.minutes() != null) {
      builder.timeLimit(Duration.ofMillis(Math.round(settings.minutes() * 60_000)));
    }
    return builder;
  }

  /**
   * Writes the settings once the first step is done, so that a run that is refused changes nothing
   * and no checkpoint is without them; a resumed run without a step to do saves only.
   */
  private static TrainingListener keeping(Settings settings, Path directory) {
    return new TrainingListener() {
      private boolean kept;

      @Override
      public void stepped(Progress progress) {
        keep();
      }

      @Override
      public void saved(Path checkpoint, long step) {
        keep();
      }

      private void keep() {
        if (!kept) {
          try {
            settings.save(directory);
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
          kept = true;
        }
      }
    };
  }

  private void print(Outcome outcome) {
    TrainingResult result = outcome.result();
    out.printf(
        Locale.ROOT,
        "Trained %,d steps, %,d tokens in %s at %,.0f words/s%n",
        result.step(),
        result.tokens(),
        duration(result.seconds()),
        outcome.wordsPerSecond());
    if (result.stopped()) {
      out.printf(
          Locale.ROOT,
          "Stopped and saved. To go on: samples/lm train --resume --out %s%n",
          directory);
    } else {
      out.printf(
          Locale.ROOT,
          "Held-out perplexity %.1f on %,d tokens; the unigram model's is %.1f%n",
          outcome.heldOutPerplexity(),
          corpus.heldOut().size(),
          outcome.unigramPerplexity());
    }
  }

  static String duration(double seconds) {
    long whole = Math.round(seconds);
    return whole / 60 + ":" + (whole % 60 < 10 ? "0" : "") + whole % 60;
  }
}
