package dev.topknot.samples.lm;

import dev.topknot.text.Metrics;
import dev.topknot.text.Progress;
import dev.topknot.text.TrainingListener;
import java.io.PrintStream;
import java.util.Locale;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressState;

/**
 * Shows progress: a bar on a terminal, lines without control characters elsewhere. The bar is
 * terse: time left, perplexity in training and on held-out text, CV of importance and of load.
 */
abstract class Display implements TrainingListener, AutoCloseable {
  /** A system property that the script sets where the error output is a terminal. */
  private static final String TERMINAL = "topknot.terminal";

  /** How to show progress. */
  enum Style {
    auto,
    bar,
    lines
  }

  /** On the error output, so that what a command prints stays its own. */
  static Display of(Style style, String task) {
    boolean bar = style == Style.bar || (style == Style.auto && Boolean.getBoolean(TERMINAL));
    return bar ? new Bar(task, System.err) : new Lines(System.err);
  }

  static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  @Override
  public abstract void close();

  private static final class Lines extends Display {
    private static final long EVERY_NANOS = 10_000_000_000L;

    private final PrintStream out;
    private Progress progress;
    private String heldOut = "";
    private long next = System.nanoTime();

    Lines(PrintStream out) {
      this.out = out;
    }

    @Override
    public void stepped(Progress latest) {
      progress = latest;
    }

    @Override
    public void measured(Metrics row) {
      if (row.evaluated()) {
        heldOut = format(" (held-out %.1f)", row.heldOutPerplexity());
      }
      if (System.nanoTime() < next) {
        return;
      }
      next = System.nanoTime() + EVERY_NANOS;
      String balance =
          Double.isNaN(row.loadCv())
              ? ""
              : format(
                  ", CV(importance) %.2f, CV(load) %.2f, max/mean load %.2f",
                  row.importanceCv(), row.loadCv(), row.maxOverMeanLoad());
      out.println(
          format(
                  "%3.0f%%, step %d, %,d tokens, %,.0f words/s, loss %.3f, perplexity %.1f",
                  100 * progress.fraction(),
                  row.step(),
                  row.tokens(),
                  row.wordsPerSecond(),
                  row.loss(),
                  row.trainPerplexity())
              + heldOut
              + balance);
    }

    @Override
    public void close() {}
  }

  private static final class Bar extends Display {
    private static final int STEPS = 1000;
    private static final int SHORTEST_BAR = 3;

    private final ProgressBar bar;
    private String heldOut = "";
    private boolean closed;

    Bar(String task, PrintStream out) {
      bar =
          new ProgressBarBuilder()
              .setTaskName(task)
              .setInitialMax(STEPS)
              .setUpdateIntervalMillis(500)
              .setRenderer(Bar::render)
              .setConsumer(new ConsoleProgressBarConsumer(out))
              .build();
    }

    /** The figures, and a bar in what is left of the line. */
    private static String render(ProgressState state, int columns) {
      double done = state.getNormalizedProgress();
      String left =
          done > 0 && done < 1
              ? TrainingRun.duration(state.getElapsedAfterStart().toSeconds() * (1 - done) / done)
              : "0:00";
      String before = format("%s %3.0f%% [", state.getTaskName(), 100 * done);
      String after = format("] %s  %s", left, state.getExtraMessage());
      int length = Math.max(SHORTEST_BAR, columns - before.length() - after.length());
      int full = (int) Math.round(done * length);
      String line = before + "=".repeat(full) + " ".repeat(length - full) + after;
      return line.length() > columns ? line.substring(0, columns) : line;
    }

    @Override
    public void stepped(Progress progress) {
      bar.stepTo(Math.round(progress.fraction() * STEPS));
    }

    @Override
    public void measured(Metrics row) {
      if (row.evaluated()) {
        heldOut = format("/%.0f", row.heldOutPerplexity());
      }
      String balance =
          Double.isNaN(row.loadCv())
              ? ""
              : format(
                  "  CV %.2f/%.2f  max/mean %.2f",
                  row.importanceCv(), row.loadCv(), row.maxOverMeanLoad());
      bar.setExtraMessage(
          format(
                  "%,.0f words/s  loss %.2f  ppl %.0f",
                  row.wordsPerSecond(), row.loss(), row.trainPerplexity())
              + heldOut
              + balance);
    }

    @Override
    public void close() {
      if (!closed) {
        closed = true;
        bar.close();
      }
    }
  }
}
