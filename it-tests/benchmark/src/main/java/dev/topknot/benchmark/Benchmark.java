package dev.topknot.benchmark;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Measures Topknot and its peers in turn: with each peer that can do a workload a pair of JVMs, one
 * of which sleeps while the other computes. So no more than two sides are in memory at a time. The
 * results of both are compared first.
 */
@Command(
    name = "benchmark",
    mixinStandardHelpOptions = true,
    description = "Measures Topknot and its peers in turn on the same weights and inputs.")
final class Benchmark implements Callable<Integer> {
  /** Largest relative difference of any output or gradient. */
  static final double TOLERANCE = 1e-4;

  /** What the processes need beside weights and gradients. */
  private static final long OVERHEAD = 2L << 30;

  /** Turns that each side has before those that count. */
  private static final int WARM_UP = 2;

  /** Pairs of turns that are taken even when time is up. */
  private static final int LEAST_ROUNDS = 3;

  @Option(names = "--workloads", split = ",", description = "Some of LM, A, B, C, D; default: all.")
  private List<String> names = Workload.measured().stream().map(Workload::name).toList();

  @Option(
      names = "--peers",
      split = ",",
      description =
          "Some of DJL, LIBTORCH, ONNX_RUNTIME; default: all. Each is measured where it can do a"
              + " task.")
  private List<Side> peers = List.of(Side.DJL, Side.LIBTORCH, Side.ONNX_RUNTIME);

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

  @Option(
      names = "--roofline",
      description = "Where a picture of all steps goes, as PNG; default: ${DEFAULT-VALUE}.")
  private Path roofline = Path.of("target", "roofline.png");

  @Option(names = "--threads", description = "Of each side; default: ${DEFAULT-VALUE}.")
  private int threads = 2;

  @Option(names = "--json", description = "Where all figures go; default: ${DEFAULT-VALUE}.")
  private Path json = Path.of("target", "benchmark.json");

  private final Set<String> versions = new TreeSet<>();

  /** Runs the benchmark. */
  public static void main(String[] args) {
    System.exit(commandLine().execute(args));
  }

  /** The command. */
  static CommandLine commandLine() {
    return new CommandLine(new Benchmark()).setCaseInsensitiveEnumValuesAllowed(true);
  }

  @Override
  public Integer call() throws IOException, ReflectiveOperationException {
    List<Row> rows = new ArrayList<>();
    List<Floors> floors = new ArrayList<>();
    for (String name : names) {
      Workload workload = Workload.named(name);
      rows.addAll(measure(workload));
      floors.add(Floors.of(workload, threads));
    }
    Report report =
        new Report(
            Instant.now().truncatedTo(ChronoUnit.MINUTES).toString(),
            Machine.describe(),
            System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version"),
            List.copyOf(versions),
            threads,
            rows,
            floors);
    Roofline.write(floors, roofline);
    System.out.println(report.tables());
    report.write(json);
    System.out.println("All figures: " + json.toAbsolutePath());
    System.out.println("All steps: " + roofline.toAbsolutePath());
    return 0;
  }

  private List<Row> measure(Workload workload) throws IOException {
    System.err.printf("%s: %s%n", workload.name(), workload.sizes());
    Map<Task, List<Comparison>> comparisons = new EnumMap<>(Task.class);
    for (Side peer : peers) {
      if (!peer.tasks(workload).isEmpty()) {
        measure(workload, peer)
            .forEach((task, c) -> comparisons.computeIfAbsent(task, t -> new ArrayList<>()).add(c));
      }
    }
    List<Row> rows = new ArrayList<>();
    for (Map.Entry<Task, List<Comparison>> entry : comparisons.entrySet()) {
      rows.add(
          new Row(
              workload.name(),
              workload.sizes(),
              entry.getKey(),
              workload.tokens(),
              Planned.bytes(workload),
              entry.getValue()));
    }
    return rows;
  }

  private Map<Task, Comparison> measure(Workload workload, Side peer) throws IOException {
    long needed = 2 * workload.bytes() + OVERHEAD;
    if (Machine.availableMemory() < needed) {
      throw new IOException(
          String.format(
              "%s needs %.1f GiB for both sides, but %.1f GiB are free: leave it out (--workloads)",
              workload.name(), needed / 0x1p30, Machine.availableMemory() / 0x1p30));
    }
    try (PeerProcess topknot = new PeerProcess(Side.TOPKNOT, workload, threads);
        PeerProcess other = new PeerProcess(peer, workload, threads)) {
      topknot.ready();
      versions.add(other.ready());
      Map<Task, Results.Difference> differences = new EnumMap<>(Task.class);
      for (Task task : peer.tasks(workload)) {
        differences.put(task, compare(task, topknot, other, peer));
      }
      Map<Task, Comparison> comparisons = new EnumMap<>(Task.class);
      for (Task task : peer.tasks(workload)) {
        Comparison comparison = measure(task, topknot, other, peer, differences.get(task));
        comparisons.put(task, comparison);
        System.err.printf(
            "  %s: %.1f ms; %s %.1f ms%n",
            task,
            Summary.of(comparison.topknot()).median(),
            peer,
            comparison.otherSummary().median());
      }
      return comparisons;
    }
  }

  /** Compares outputs and gradients of the two sides. */
  private static Results.Difference compare(
      Task task, PeerProcess topknot, PeerProcess other, Side peer) throws IOException {
    Path ours = Files.createTempFile("topknot", ".results");
    Path theirs = Files.createTempFile("peer", ".results");
    try {
      topknot.results(task, ours);
      other.results(task, theirs);
      Results.Difference difference = Results.compare(ours, theirs);
      if (difference.difference() > TOLERANCE) {
        throw new IOException(
            String.format(
                "Topknot and %s disagree in %s: %s differs by %.1e, more than %.0e",
                peer, task, difference.tensor(), difference.difference(), TOLERANCE));
      }
      System.err.printf(
          "  %s: %d tensors agree with those of %s; they differ most in %s: %.1e%n",
          task, difference.tensors(), peer, difference.tensor(), difference.difference());
      return difference;
    } finally {
      Files.delete(ours);
      Files.delete(theirs);
    }
  }

  private Comparison measure(
      Task task, PeerProcess topknot, PeerProcess other, Side peer, Results.Difference difference)
      throws IOException {
    Duration time = Duration.ofMillis(turn);
    topknot.settle();
    other.settle();
    long end = System.nanoTime() + Duration.ofSeconds(limit).toNanos();
    for (int i = 0; i < WARM_UP && System.nanoTime() < end; i++) {
      topknot.turn(task, time);
      other.turn(task, time);
    }
    Others others = new Others(topknot, other);
    List<Double> ours = new ArrayList<>();
    List<Double> theirs = new ArrayList<>();
    while (ours.size() < rounds && (ours.size() < LEAST_ROUNDS || System.nanoTime() < end)) {
      ours.add(Summary.of(topknot.turn(task, time)).median());
      theirs.add(Summary.of(other.turn(task, time)).median());
    }
    return new Comparison(
        peer,
        other.way(task),
        ours,
        theirs,
        difference.tensors(),
        difference.difference(),
        topknot.peak(),
        other.peak(),
        others.processors());
  }

  /** How busy other programs keep the machine, from now on. */
  private static final class Others {
    private final PeerProcess topknot;
    private final PeerProcess other;
    private final long begin = System.nanoTime();
    private final Duration busy = Machine.busy();
    private final Duration own;

    Others(PeerProcess topknot, PeerProcess other) {
      this.topknot = topknot;
      this.other = other;
      this.own = own();
    }

    private Duration own() {
      return topknot.cpuTime().plus(other.cpuTime());
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
