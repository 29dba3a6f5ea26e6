package dev.topknot.samples.lm;

import dev.topknot.text.Corpus;
import dev.topknot.text.Metrics;
import dev.topknot.text.Progress;
import dev.topknot.text.TrainingListener;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * How far a sweep is. Runs count by the work they take, so that the time left, which follows from
 * the pace, does not jump from one model to a larger one.
 */
final class SweepProgress {
  /** A backward pass takes twice the operations of the forward pass. */
  private static final int PASSES = 3;

  /** Multiply-adds of a product in the time that Adam takes for one parameter, roughly. */
  private static final int UPDATE = 40;

  private final Display.Style style;
  private final Display.Pace pace = new Display.Pace();
  private final List<Double> works = new ArrayList<>();
  private double done;
  private int started;

  SweepProgress(Display.Style style) {
    this.style = style;
  }

  /** Adds a run that is to be done. */
  void add(Settings settings, Corpus corpus) throws IOException {
    Model model = settings.model();
    double all = model.reported("parameters");
    double callTokens = model.reported("tokens in a call");
    double softmax = (all - model.reported("of these counted")) / 2;
    double tokens = (double) settings.epochs() * corpus.training().size();
    if (settings.steps() != null) {
      tokens = Math.min(tokens, settings.steps() * callTokens);
    }
    double operations = model.reported("ops/timestep") + softmax;
    works.add(tokens * (PASSES * operations + UPDATE * all / callTokens));
  }

  /** A display for the next run. */
  Display next(String name) {
    return Display.of(style, "%s (%d/%d)".formatted(name, started + 1, works.size()), pace);
  }

  /** Tells a display of the next run how far the sweep is. */
  TrainingListener whole(Display display) {
    double work = works.get(started++);
    double before = done;
    double total = works.stream().mapToDouble(Double::doubleValue).sum();
    done += work;
    return new TrainingListener() {
      @Override
      public void stepped(Progress run) {
        display.stepped(
            new Progress(
                run.step(),
                run.position(),
                run.steps(),
                run.tokens(),
                (before + run.fraction() * work) / total));
      }

      @Override
      public void measured(Metrics row) {
        display.measured(row);
      }
    };
  }
}
