package dev.topknot.benchmark;

import ai.djl.engine.Engine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Measures Topknot and DJL in turn. Each side has a JVM of its own; one sleeps while the other
 * computes. For each workload the results of both are compared first.
 */
@Command(
    name = "benchmark",
    mixinStandardHelpOptions = true,
    description = "Measures Topknot and DJL (PyTorch) in turn on the same weights and inputs.")
final class Benchmark implements Callable<Integer> {
  /** Largest relative difference of any output or gradient. */
  static final double TOLERANCE = 1e-4;

  /** What the processes need beside weights and gradients. */
  private static final long OVERHEAD = 1L << 30;

  /** Turns that each side has before those that count. */
  private static final int WARM_UP = 2;

  /** Pairs of turns that are taken even when time is up. */
  private static final int LEAST_ROUNDS = 3;

  @Option(names = "--workloads", split = ",", description = "Some of LM, A, B, C, D; default: all.")
  private List<String> names = Workload.measured().stream().map(Workload::name).toList();

  @Option(names = "--rounds", description = "Pairs of turns; default: ${DEFAULT-VALUE}.")
  private int rounds = 9;

  @Option(
      names = "--turn",
      description = "Milliseconds of a turn, at least one call; default: ${DEFAULT-VALUE}.")
  private int turn = 500;

  @Option(
      names = "--limit",
      description =
          "Seconds for one measurement, after which it ends with fewer pairs, but with at least "
              + LEAST_ROUNDS
              + "; default: ${DEFAULT-VALUE}.")
  private int limit = 40;

  @Option(names = "--threads", description = "Of each side; default: ${DEFAULT-VALUE}.")
  private int threads = 2;

  @Option(names = "--json", description = "Where all figures go; default: ${DEFAULT-VALUE}.")
  private Path json = Path.of("target", "benchmark.json");

  /** Runs the benchmark. */
  public static void main(String[] args) {
    System.exit(new CommandLine(new Benchmark()).execute(args));
  }

  @Override
  public Integer call() throws IOException {
    List<Row> rows = new ArrayList<>();
    for (String name : names) {
      rows.addAll(measure(Workload.named(name)));
    }
    Report report =
        new Report(
            Instant.now().truncatedTo(ChronoUnit.MINUTES).toString(),
            Machine.describe(),
            System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version"),
            "DJL " + Engine.getDjlVersion(),
            threads,
            rows);
    System.out.println(report.table());
    report.write(json);
    System.out.println("All figures: " + json.toAbsolutePath());
    return 0;
  }

  private List<Row> measure(Workload workload) throws IOException {
    System.err.printf("%s: %s%n", workload.name(), workload.sizes());
    long needed = workload.bytes() + OVERHEAD;
    if (Machine.availableMemory() < needed) {
      throw new IOException(
          String.format(
              "%s needs %.1f GiB for both sides, but %.1f GiB are free: leave it out (--workloads)",
              workload.name(), needed / 0x1p30, Machine.availableMemory() / 0x1p30));
    }
    try (PeerProcess topknot = new PeerProcess(Side.TOPKNOT, workload, threads);
        PeerProcess djl = new PeerProcess(Side.DJL, workload, threads)) {
      topknot.ready();
      djl.ready();
      Results.Difference difference = compare(topknot, djl);
      System.err.printf(
          "  %d tensors agree; they differ most in %s: %.1e%n",
          difference.tensors(), difference.tensor(), difference.difference());
      List<Row> rows = new ArrayList<>();
      for (Task task : workload.tasks()) {
        rows.add(measure(workload, task, topknot, djl, difference));
      }
      return rows;
    }
  }

  /** Compares outputs and gradients of the two sides. */
  private static Results.Difference compare(PeerProcess topknot, PeerProcess djl)
      throws IOException {
    Path ours = Files.createTempFile("topknot", ".results");
    Path theirs = Files.createTempFile("djl", ".results");
    try {
      topknot.results(ours);
      djl.results(theirs);
      Results.Difference difference = Results.compare(ours, theirs);
      if (difference.difference() > TOLERANCE) {
        throw new IOException(
            String.format(
                "the two sides disagree: %s differs by %.1e, more than %.0e",
                difference.tensor(), difference.difference(), TOLERANCE));
      }
      return difference;
    } finally {
      Files.delete(ours);
      Files.delete(theirs);
    }
  }

  private Row measure(
      Workload workload,
      Task task,
      PeerProcess topknot,
      PeerProcess djl,
      Results.Difference difference)
      throws IOException {
    Duration time = Duration.ofMillis(turn);
    long end = System.nanoTime() + Duration.ofSeconds(limit).toNanos();
    for (int i = 0; i < WARM_UP && System.nanoTime() < end; i++) {
      topknot.turn(task, time);
      djl.turn(task, time);
    }
    Others others = new Others(topknot, djl);
    List<Double> ours = new ArrayList<>();
    List<Double> theirs = new ArrayList<>();
    while (ours.size() < rounds && (ours.size() < LEAST_ROUNDS || System.nanoTime() < end)) {
      ours.add(Summary.of(topknot.turn(task, time)).median());
      theirs.add(Summary.of(djl.turn(task, time)).median());
    }
    Row row =
        new Row(
            workload.name(),
            workload.sizes(),
            task,
            workload.tokens(),
            ours,
            theirs,
            difference.tensors(),
            difference.difference(),
            others.processors());
    System.err.printf(
        "  %s: %.1f and %.1f ms%n", task, row.topknotSummary().median(), row.djlSummary().median());
    return row;
  }

  /** How busy other programs keep the machine, from now on. */
  private static final class Others {
    private final PeerProcess topknot;
    private final PeerProcess djl;
    private final long begin = System.nanoTime();
    private final Duration busy = Machine.busy();
    private final Duration own;

    Others(PeerProcess topknot, PeerProcess djl) {
      this.topknot = topknot;
      this.djl = djl;
      this.own = own();
    }

    private Duration own() {
      return topknot.cpuTime().plus(djl.cpuTime());
    }

    double processors() {
      Duration now = Machine.busy();
      if (busy == null || now == null) {
        return Double.NaN;
      }
      Duration foreign = now.minus(busy).minus(own().minus(own));
      return Math.max(0, (double) foreign.toNanos() / (System.nanoTime() - begin));
    }
  }
}
