package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectIteration;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectMethod;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.platform.engine.DiscoverySelector;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.Launcher;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.junit.platform.launcher.listeners.SummaryGeneratingListener;
import org.junit.platform.launcher.listeners.TestExecutionSummary;

/**
 * Damages a copy of the kernels, one place at a time, and sees to it that a test fails: every
 * barrier is deleted, and some masks, bounds and tile maps are made wrong. It takes an hour, so its
 * name keeps it out of the build:
 *
 * <pre>
 * mvn test -pl it-tests -am -Dtest=Mutations -Dsurefire.failIfNoSpecifiedTests=false
 * </pre>
 *
 * With {@code -Dtopknot.mutations=gemm.cuh,gate.cuh:12} only those of some headers or lines. The
 * table is written to {@code target/mutations.md}, row by row.
 */
class Mutations {
  private static final Path TABLE = Path.of("target/mutations.md");
  private static final Path MUTATED = Path.of("target/mutated");
  private static final Pattern BARRIER = Pattern.compile("__sync(threads|warp)\\(\\);");

  /** Tests of each header, those that fail soonest first: a class, or one of its methods. */
  private static final Map<String, List<String>> TESTS =
      Map.ofEntries(
          Map.entry("adam.cuh", List.of("ModelKernelsTest#adam")),
          Map.entry("adam_factored.cuh", List.of("ModelKernelsTest#adamFactored")),
          Map.entry("bf16_tile.cuh", List.of("DenseKernelsTest", "ExpertsKernelsTest")),
          Map.entry("column_sums.cuh", List.of("DenseKernelsTest")),
          Map.entry(
              "combine.cuh",
              List.of(
                  "GateKernelsTest#dispatchAndCombine", "BalancedKernelsTest#dispatchAndCombine")),
          Map.entry(
              "dispatch.cuh", List.of("GateKernelsTest#dispatchAndCombine", "BalancedKernelsTest")),
          Map.entry("embedding.cuh", List.of("ModelKernelsTest#embedding")),
          Map.entry("epilogue.cuh", List.of("ExpertsKernelsTest")),
          Map.entry("experts.cuh", List.of("ExpertsKernelsTest")),
          Map.entry(
              "gate.cuh",
              List.of("GateKernelsTest", "TwinTest#aRecordedStepIsSaneAndHasTheSameBits")),
          Map.entry("gemm.cuh", List.of("DenseKernelsTest", "ExpertsKernelsTest")),
          Map.entry("operand.cuh", List.of("DenseKernelsTest")),
          Map.entry("perceptron.cuh", List.of("ExpertsKernelsTest")),
          Map.entry("rows.cuh", List.of("ModelKernelsTest#adam", "GateKernelsTest")),
          Map.entry("sampled_softmax_loss.cuh", List.of("SampledSoftmaxKernelsTest")),
          Map.entry("selection.cuh", List.of("GateKernelsTest")),
          Map.entry("softmax_loss.cuh", List.of("DenseKernelsTest#softmaxLoss")),
          Map.entry("strictly_balanced_gate.cuh", List.of("BalancedKernelsTest")),
          Map.entry(
              "wide_tile.cuh", List.of("DenseKernelsTest#feedForward", "ExpertsKernelsTest")));

  /** Other damage than a missing barrier. */
  private static final List<Mutation> OTHERS =
      List.of(
          other("embedding.cuh", "__ballot_sync(WHOLE_WARP,", "__ballot_sync(0x7FFFFFFFu,"),
          other("gate.cuh", "__shfl_sync(WHOLE_WARP, ofRaw,", "__shfl_sync(0x7FFFFFFFu, ofRaw,"),
          other("gate.cuh", "to / 4 % LANES", "to % LANES"),
          other("rows.cuh", "distance = 16", "distance = 8"),
          other("selection.cuh", "distance = 16", "distance = 8"),
          other("selection.cuh", "~static_cast<unsigned>(index)", "static_cast<unsigned>(index)"),
          other("dispatch.cuh", "i < thread &&", "i <= thread &&"),
          other("gemm.cuh", "shared + K * (STRIDE_M + STRIDE_N)", "shared + K * STRIDE_M"),
          other("operand.cuh", "row < rows ?", "row <= rows ?"),
          other("bf16_tile.cuh", "lane / 8 % 2 * 8", "lane / 16 % 2 * 8"),
          other("perceptron.cuh", "Tile::M + middle;", "Tile::M + middle + 1;"),
          other("perceptron.cuh", "(first - from) % Tile::M == 0", "first == from"),
          other("perceptron.cuh", "offsets[low + 1] - first", "offsets[low + 1] - first + 1"),
          other("epilogue.cuh", "distance = LANES / 2", "distance = LANES / 4"),
          other("wide_tile.cuh", "+ AHEAD * STAGE", ""),
          other("wide_tile.cuh", "asyncWait<AHEAD - 1>", "asyncWait<AHEAD>"),
          other("wide_tile.cuh", "endStages<1>", "endStages<2>"),
          other("softmax_loss.cuh", "i < SOFTMAX_THREADS / 32", "i <= SOFTMAX_THREADS / 32"));

  /** One change of one line of a header. */
  private record Mutation(String header, int line, String from, String to) {
    @Override
    public String toString() {
      return to.isEmpty() ? "without `" + from + "`" : "`" + to + "` for `" + from + "`";
    }

    String place() {
      return header + ":" + line;
    }
  }

  private static Path original;

  private static Mutation other(String header, String from, String to) {
    return new Mutation(header, 0, from, to);
  }

  @BeforeAll
  static void start() {
    EmulatorBuild.require();
    original = EmulatorBuild.useKernels(MUTATED);
    EmulatorBuild.useKernels(original);
  }

  @Test
  void allAreFound() throws IOException {
    Files.writeString(TABLE, "| where | change | found by |\n|---|---|---|\n");
    List<String> survivors = new ArrayList<>();
    for (Mutation mutation : mutations()) {
      copyWith(mutation);
      EmulatorBuild.useKernels(MUTATED);
      String found;
      try {
        found = firstFailure(TESTS.get(mutation.header));
      } finally {
        EmulatorBuild.useKernels(original);
      }
      String row =
          String.format(
              Locale.ROOT,
              "| `%s` | %s | %s |%n",
              mutation.place(),
              mutation,
              found == null ? "**nothing**" : found);
      Files.writeString(TABLE, Files.readString(TABLE) + row);
      System.out.print(row);
      if (found == null) {
        survivors.add(mutation.place() + " " + mutation);
      }
    }
    assertThat(survivors).as("changes that no test found").isEmpty();
  }

  private static List<Mutation> mutations() throws IOException {
    List<Mutation> all = new ArrayList<>();
    for (Path header : headers()) {
      String name = header.getFileName().toString();
      List<String> lines = Files.readAllLines(header);
      for (int i = 0; i < lines.size(); i++) {
        Matcher barrier = BARRIER.matcher(lines.get(i));
        if (barrier.find()) {
          all.add(new Mutation(name, i + 1, barrier.group(), ""));
        }
        for (Mutation other : OTHERS) {
          if (name.equals(other.header) && lines.get(i).contains(other.from)) {
            all.add(new Mutation(name, i + 1, other.from, other.to));
          }
        }
      }
    }
    assertThat(all).map(Mutation::from).containsAll(OTHERS.stream().map(Mutation::from).toList());
    String wanted = System.getProperty("topknot.mutations", "");
    List<String> places = List.of(wanted.split(",", -1));
    return wanted.isEmpty()
        ? all
        : all.stream()
            .filter(m -> places.contains(m.header) || places.contains(m.place()))
            .toList();
  }

  private static List<Path> headers() throws IOException {
    try (Stream<Path> files = Files.list(original.resolve("topknot"))) {
      return files.sorted().toList();
    }
  }

  private static void copyWith(Mutation mutation) throws IOException {
    Path folder = Files.createDirectories(MUTATED.resolve("topknot"));
    for (Path header : headers()) {
      List<String> lines = new ArrayList<>(Files.readAllLines(header));
      if (header.endsWith(mutation.header)) {
        lines.set(
            mutation.line - 1, lines.get(mutation.line - 1).replace(mutation.from, mutation.to));
      }
      Files.write(folder.resolve(header.getFileName()), lines);
    }
  }

  /** Runs tests, one after the other, up to the first that fails; null if none does. */
  private static String firstFailure(List<String> tests) {
    for (String test : tests) {
      for (String method : methods(test)) {
        for (int i = 0; ; i++) {
          TestExecutionSummary summary = run(selectIteration(selectMethod(method), i));
          if (summary.getTestsFailedCount() + summary.getContainersFailedCount() > 0) {
            return "`%s`, case %d"
                .formatted(
                    method.replaceAll("\\(.*", "").replaceAll(".*\\.", "").replace('#', '.'),
                    i + 1);
          }
          if (summary.getTestsFoundCount() == 0) {
            break;
          }
        }
      }
    }
    return null;
  }

  /** The parameterized tests of a class, or one of them, as JUnit names them. */
  private static List<String> methods(String test) {
    String[] parts = test.split("#", -1);
    try {
      Class<?> type = Class.forName(Mutations.class.getPackageName() + "." + parts[0]);
      TestPlan plan = LauncherFactory.create().discover(request(selectClass(type)));
      return plan.getRoots().stream()
          .flatMap(root -> plan.getDescendants(root).stream())
          .map(TestIdentifier::getSource)
          .flatMap(source -> source.stream().filter(MethodSource.class::isInstance))
          .map(MethodSource.class::cast)
          .filter(m -> parts.length == 1 || m.getMethodName().equals(parts[1]))
          .map(
              m ->
                  "%s#%s(%s)"
                      .formatted(m.getClassName(), m.getMethodName(), m.getMethodParameterTypes()))
          .toList();
    } catch (ClassNotFoundException e) {
      throw new IllegalArgumentException("no such test: " + test, e);
    }
  }

  private static TestExecutionSummary run(DiscoverySelector selector) {
    SummaryGeneratingListener listener = new SummaryGeneratingListener();
    Launcher launcher = LauncherFactory.create();
    launcher.execute(request(selector), listener);
    return listener.getSummary();
  }

  private static LauncherDiscoveryRequest request(DiscoverySelector selector) {
    return LauncherDiscoveryRequestBuilder.request().selectors(selector).build();
  }
}
