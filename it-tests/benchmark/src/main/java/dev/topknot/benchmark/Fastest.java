package dev.topknot.benchmark;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Consumer;

/** Of several ways to do one thing, the fastest here. */
final class Fastest {
  /** Calls of each way that count, if there is time. */
  private static final int CALLS = 5;

  private static final Duration TIME = Duration.ofSeconds(10);

  private Fastest() {}

  /** What a way took. */
  private record Times<T>(T way, List<Double> nanos) {
    double median() {
      return Summary.of(nanos).median();
    }
  }

  /**
   * Tries all in turn, after one call of each that does not count.
   *
   * @return the one with the least median
   */
  static <T> T of(List<T> ways, Consumer<T> run) {
    List<Times<T>> all = new ArrayList<>();
    for (T way : ways) {
      run.accept(way);
      all.add(new Times<>(way, new ArrayList<>()));
    }
    long end = System.nanoTime() + TIME.toNanos();
    int calls = 0;
    do {
      for (Times<T> times : all) {
        long begin = System.nanoTime();
        run.accept(times.way());
        times.nanos().add((double) (System.nanoTime() - begin));
      }
      calls++;
    } while (calls < CALLS && System.nanoTime() < end);
    return all.stream().min(Comparator.comparingDouble(Times::median)).orElseThrow().way();
  }
}
