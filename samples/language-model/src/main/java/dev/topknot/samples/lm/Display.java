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
  /**
   * A system property that the script sets: the columns of the terminal that the error output is,
   * or 0. The library of the bar would find them by opening the terminal, and with that gives
   * Ctrl-C back its default, by which the JVM ends at once, without saving.
   */
  private static final String COLUMNS = "topknot.columns";

  private static final int USUAL_COLUMNS = 80;

  /** How to show progress. */
  enum Style {
    auto,
    bar,
    lines
  }

  /** On the error output, so that what a command prints stays its own. */
  static Display of(Style style, String task) {
    return of(style, task, new Pace());
  }

  /** As the other, with a pace that began with earlier tasks of one work. */
  static Display of(Style style, String task, Pace pace) {
    int columns = Integer.getInteger(COLUMNS, 0);
    boolean bar = style == Style.bar || (style == Style.auto && columns > 0);
    return bar
        ? new Bar(task, pace, System.err, columns > 0 ? columns : USUAL_COLUMNS)
        : new Lines(pace, System.err);
  }

  static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  @Override
  public abstract void close();

  /** Tells the time left from the pace since the first step, so that resuming does not flatter. */
  static final class Pace {
    private volatile long start;
    private volatile double first = Double.NaN;
    private volatile double now = Double.NaN;

    void at(double fraction) {
      if (Double.isNaN(first)) {
        start = System.nanoTime();
        first = fraction;
      }
      now = fraction;
    }

    String left() {
      double seconds = (System.nanoTime() - start) / 1e9;
      return now > first ? TrainingRun.duration(seconds * (1 - now) / (now - first)) : "?";
    }
  }

  private static final class Lines extends Display {
    private static final long EVERY_NANOS = 10_000_000_000L;

    private final PrintStream out;
    private Progress progress;
    private String heldOut = "";
    private final Pace pace;
    private long next = System.nanoTime();

    Lines(Pace pace, PrintStream out) {
      this.pace = pace;
      this.out = out;
    }

    @Override
    public void stepped(Progress latest) {
      progress = latest;
      pace.at(latest.fraction());
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
                  "%3.0f%%, %s left, step %d, %,d tokens, %,.0f words/s, loss %.3f, perplexity %.1f",
                  100 * progress.fraction(),
                  pace.left(),
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

    private final Pace pace;
    private final ProgressBar bar;
    private String heldOut = "";
    private boolean closed;

    Bar(String task, Pace pace, PrintStream out, int columns) {
      this.pace = pace;
      bar =
          new ProgressBarBuilder()
              .setTaskName(task)
              .setInitialMax(STEPS)
              .setUpdateIntervalMillis(500)
              .setRenderer((state, length) -> render(state, length, pace.left()))
              .setConsumer(new ConsoleProgressBarConsumer(out, columns - 1))
              .build();
    }

    /** The figures, and a bar in what is left of the line. */
    private static String render(ProgressState state, int columns, String left) {
      double done = state.getNormalizedProgress();
      String before = format("%s %3.0f%% [", state.getTaskName(), 100 * done);
      String after = format("] %s  %s", left, state.getExtraMessage());
      int length = Math.max(SHORTEST_BAR, columns - before.length() - after.length());
      int full = (int) Math.round(done * length);
      String line = before + "=".repeat(full) + " ".repeat(length - full) + after;
      return line.length() > columns ? line.substring(0, columns) : line;
    }

    @Override
    public void stepped(Progress progress) {
      pace.at(progress.fraction());
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
