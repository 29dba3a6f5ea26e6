package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.generated.Compiling;
import dev.topknot.samples.lm.TopknotNewsModel;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * NVIDIA's compiler over generated sources: nothing spills, nothing is warned of, and a block fits
 * a multiprocessor as the plan has it. By default the sample's model, layers and models of awkward
 * shapes; with {@code -Dtopknot.nvcc=all} everything that is generated in this build.
 */
class NvccTest {
  private static final List<String> ARCHITECTURES = List.of("sm_80", "sm_90a");

  private static final String AWKWARD =
      """
      @MoELayer(experts = 3, k = 3, width = 129, tokens = 65)
      @Expert(hidden = 1, activation = GELU)
      interface OddWidth extends MoE {}

      @MoELayer(experts = 256, k = 1, width = 1, tokens = 4097, gating = TOP_K)
      @Expert(hidden = 3, activation = SWIGLU)
      interface OneWide extends MoE {}

      @MoELayer(experts = 16, k = 16, width = 64, tokens = 128)
      @Expert(hidden = 64)
      interface EveryExpert extends MoE {}

      @MoELayer(experts = 4096, k = 2, width = 512, tokens = 4096)
      @Hierarchy(groups = 16, k = 2)
      @Expert(hidden = 16)
      interface Hierarchical extends MoE {}

      @MoELayer(experts = 35, k = 5, width = 33, tokens = 65)
      @Hierarchy(groups = 7, k = 7)
      @Expert(hidden = 3, activation = TANH)
      interface EveryGroup extends MoE {}

      @MoELayer(experts = 9, k = 2, width = 33, tokens = 65, recompute = true)
      @Expert(count = 4, hidden = {3, 65}, activation = TANH)
      @Expert(count = 2, hidden = 70)
      @Expert(hidden = 66, activation = SWIGLU)
      @Expert(shared = true, hidden = {5, 6}, activation = GELU)
      interface Kinds extends MoE {}

      @MoEModel(batch = 1, timesteps = 1)
      interface OneToken extends LanguageModel {
        @Embedding(vocabulary = 2, width = 1) Layer words();
        @Lstm(units = 1) Layer lstm();
        @Dense(units = 3, activation = TANH) @Dropout(0.5) Layer dense();
        @Softmax(vocabulary = 2) Layer next();
      }

      @MoEModel(batch = 33, timesteps = 2)
      interface Sampled extends LanguageModel {
        @Embedding(vocabulary = 3001, width = 129) Layer words();
        @Lstm(units = 131, projection = 65) Layer lstm();
        @Softmax(vocabulary = 3001, samples = 100) Layer next();
      }
      """;

  private static final String LARGE =
      """
      @MoELayer(experts = 4096, k = 4, width = 512, tokens = 16384)
      @Expert(hidden = 1024)
      interface Large extends MoE {}
      """;

  private static final Pattern TABLE =
      Pattern.compile("(?m)^\\| (\\w+) \\| \\d+ \\| \\d+ × \\d+ × \\d+ \\| (\\d+) \\| (\\d+) \\|");
  private static final Pattern KERNEL =
      Pattern.compile(
          "Compiling entry function '(\\w+)' for '(\\w+)'.*?(\\d+) bytes stack frame,"
              + " (\\d+) bytes spill stores, (\\d+) bytes spill loads.*?Used (\\d+) registers([^\n]*)",
          Pattern.DOTALL);
  private static final Pattern STATIC_SHARED = Pattern.compile("(\\d+) bytes smem");

  private static final int REGISTERS = 65_536;
  private static final int REGISTERS_AT_ONCE = 256; // a warp's are allocated in these
  private static final int THREADS = 1024;
  private static final int SHARED_BYTES = 99 << 10; // of capability 8.6, which has the least

  @TempDir private Path directory;

  /** What the plan launches a kernel with; the most of all programs. */
  private record Launch(int threads, int sharedBytes) {
    Launch max(Launch other) {
      return new Launch(Math.max(threads, other.threads), Math.max(sharedBytes, other.sharedBytes));
    }
  }

  private static void require() {
    try {
      run(List.of("nvcc", "--version"));
    } catch (IOException e) {
      String reason = "SKIPPED: no nvcc on the PATH: no generated kernel was built for a GPU";
      System.err.println(reason);
      Assumptions.abort(reason);
    }
  }

  @Test
  void generatedKernelsFitWhatThePlanAssumes() throws Exception {
    require();
    List<Path> sources = sources();
    ExecutorService two = Executors.newFixedThreadPool(2);
    try {
      List<Callable<Void>> checks = new ArrayList<>();
      sources.forEach(source -> checks.add(() -> check(source)));
      List<String> failures = new ArrayList<>();
      for (Future<Void> check : two.invokeAll(checks)) {
        try {
          check.get();
        } catch (ExecutionException e) {
          failures.add(String.valueOf(e.getCause()));
        }
      }
      assertThat(failures).isEmpty();
    } finally {
      two.shutdownNow();
    }
  }

  /** The largest first, so that the last to end is small. */
  private List<Path> sources() throws Exception {
    boolean all = "all".equals(System.getProperty("topknot.nvcc"));
    List<Path> sources = new ArrayList<>();
    sources.addAll(generated(classes(TopknotNewsModel.class), all ? ".*" : "NewsModel"));
    sources.addAll(
        generated(
            classes(NvccTest.class),
            all ? ".*" : "Specs_(Seven|Many|SixtyFour|Single.*|Rounded\\w*)"));
    sources.addAll(generated(compile("Awkward", AWKWARD), ".*"));
    if (all) {
      sources.addAll(generated(compile("LargeOnes", LARGE), ".*"));
    }
    assertThat(sources).hasSizeGreaterThan(8);
    sources.sort(Comparator.comparingLong(file -> -file.toFile().length()));
    return sources;
  }

  private static Path classes(Class<?> type) throws URISyntaxException {
    return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI());
  }

  private static List<Path> generated(Path classes, String name) throws IOException {
    try (Stream<Path> files = Files.walk(classes)) {
      return files.filter(it -> it.getFileName().toString().matches(name + "\\.cu")).toList();
    }
  }

  /** Interfaces, compiled by the processor. */
  private Path compile(String name, String types) throws IOException {
    String imports =
        """
        import dev.topknot.dsl.*;
        import dev.topknot.runtime.*;
        import static dev.topknot.dsl.ActivationFunction.*;
        import static dev.topknot.dsl.Gating.*;
        """;
    Path file = Files.writeString(directory.resolve(name + ".java"), imports + types);
    Path classes = Files.createDirectory(directory.resolve(name));
    Compiling.into(classes, file);
    return classes;
  }

  /** Builds a source for every architecture in one call and compares with its report. */
  private Void check(Path source) throws IOException {
    Path image = Files.createTempFile(directory, "kernels", ".fatbin");
    List<String> command =
        new ArrayList<>(List.of("nvcc", "--fatbin", "--std=c++17", "-Xptxas", "-v"));
    for (String architecture : ARCHITECTURES) {
      command.add("-gencode=arch=%s,code=%s".formatted(virtual(architecture), architecture));
    }
    command.addAll(List.of("-I../runtime-cuda/src/main/resources", "-o", image.toString()));
    command.add(source.toString());
    String said = run(command);
    assertThat(said.lines()).as("warnings of %s", source).noneMatch(it -> it.contains("arning"));

    Map<String, Launch> launches = launches(source);
    List<String> compiled = new ArrayList<>();
    Matcher kernel = KERNEL.matcher(said);
    while (kernel.find()) {
      String name = kernel.group(1);
      String what = "%s of %s for %s".formatted(name, source, kernel.group(2));
      compiled.add(name + " " + kernel.group(2));
      assertThat(kernel.group(4) + kernel.group(5)).as("bytes spilled by %s", what).isEqualTo("00");
      if (launches.containsKey(name)) { // a macro also defines kernels that its layer never needs
        fits(what, kernel, launches.get(name));
      }
    }
    assertThat(compiled)
        .containsAll(
            launches.keySet().stream()
                .flatMap(name -> ARCHITECTURES.stream().map(it -> name + " " + it))
                .toList());
    return null;
  }

  private static String virtual(String architecture) {
    return architecture.replace("sm_", "compute_");
  }

  private static void fits(String what, Matcher kernel, Launch launch) {
    int warps = (launch.threads + 31) / 32;
    int ofWarp = Integer.parseInt(kernel.group(6)) * 32;
    int allocated = (ofWarp + REGISTERS_AT_ONCE - 1) / REGISTERS_AT_ONCE * REGISTERS_AT_ONCE;
    assertThat(launch.threads).as("threads of %s", what).isBetween(1, THREADS);
    assertThat(warps * allocated).as("registers of %s", what).isLessThanOrEqualTo(REGISTERS);
    assertThat(STATIC_SHARED.matcher(kernel.group(7)).find())
        .as("shared memory of %s that is not in the plan", what)
        .isFalse();
    assertThat(launch.sharedBytes)
        .as("shared memory of %s", what)
        .isLessThanOrEqualTo(SHARED_BYTES);
  }

  /** From the tables of the report: what the generated programs launch. */
  private static Map<String, Launch> launches(Path source) throws IOException {
    String report =
        Files.readString(
            source.resolveSibling(
                source.getFileName().toString().replaceFirst("\\.cu$", ".topknot.md")));
    Map<String, Launch> launches = new TreeMap<>();
    Matcher row = TABLE.matcher(report);
    while (row.find()) {
      Launch launch = new Launch(Integer.parseInt(row.group(2)), Integer.parseInt(row.group(3)));
      launches.merge(row.group(1), launch, Launch::max);
    }
    assertThat(launches).as("kernels of %s", source).isNotEmpty();
    return launches;
  }

  private static String run(List<String> command) throws IOException {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    try {
      assertThat(process.waitFor()).as(said).isZero();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
    return said;
  }
}
