package dev.topknot.runtime.cpu;

import dev.topknot.runtime.program.Phase;
import java.util.Arrays;
import java.util.List;

/** Sums up how long each step of a program takes. */
final class StepClock {
  private final List<Phase> phases;
  private final long[] nanos;
  private int running = -1;
  private long since;

  StepClock(List<Phase> phases) {
    this.phases = phases;
    this.nanos = new long[phases.size()];
  }

  List<Phase> phases() {
    return phases;
  }

  /** A step begins, and the one before ends. */
  void begin(int step) {
    end();
    running = step;
    since = System.nanoTime();
  }

  /** The last step ends. */
  void end() {
    if (running >= 0) {
      nanos[running] += System.nanoTime() - since;
    }
    running = -1;
  }

  /** The nanoseconds of each step since the last call of this method. */
  long[] take() {
    long[] taken = nanos.clone();
    Arrays.fill(nanos, 0);
    return taken;
  }
}
