package dev.topknot.it.gpu;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import dev.topknot.it.cuda.EmulatorBuild;
import dev.topknot.runtime.cuda.Probe;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The bundle for a GPU is built, unpacked elsewhere, and rehearsed there on the emulator. */
class BundleTest {
  private static final long MOST_BYTES = 60L << 20;
  private static final Path HOME = Path.of(System.getProperty("java.home"));

  @TempDir private Path folder;

  private record Ended(int status, String said) {}

  /** One test, as building takes most of its time. */
  @Test
  void whatIsBuiltHereRunsElsewhere() throws Exception {
    require();
    Path file = folder.resolve("bundle.tar.xz");
    Ended built =
        run("bash", "gpu/bundle", "--quick", "--class-path", classPath(), file.toString());
    assertThat(built.status).as(built.said).isZero();
    assertThat(Files.size(file)).isLessThan(MOST_BYTES);
    assertThat(run("tar", "-C", folder.toString(), "-xf", file.toString()).status).isZero();
    Path bundle = folder.resolve("topknot-gpu");

    if (Probe.result().state() != Probe.State.FINE) {
      Ended withoutGpu = run(bundle.resolve("run").toString(), folder.resolve("none").toString());
      assertThat(withoutGpu.said).contains("no GPU: " + Probe.result().message());
      assertThat(withoutGpu.status).isEqualTo(3);
    }

    // What this build compiled for the emulator is not compiled again.
    Path emulator = bundle.resolve("it-tests/target/emulator");
    Files.createSymbolicLink(emulator, Path.of("target/emulator").toAbsolutePath());
    Path results = folder.resolve("results");
    Ended rehearsed = run(bundle.resolve("run").toString(), results.toString(), "--emulated");
    assertThat(rehearsed.status).as(rehearsed.said).isZero();
    JsonNode found = Findings.JSON.readTree(results.resolve("results.json").toFile());
    assertThat(found.at("/instructions/checks")).hasSize(Instructions.probes().size());
    for (String phase : List.of("device", "recordings", "tests", "bits", "table7")) {
      assertThat(found.at("/" + phase + "/checks")).as(phase).isNotEmpty();
    }
    assertThat(found.at("/figures/rows")).isNotEmpty();
    assertThat(found.at("/table7/rows")).hasSize(1);
    assertThat(Files.readString(results.resolve("results.md")))
        .contains("| instructions | 13 | 0 |")
        .doesNotContain("failed**");
  }

  private static void require() {
    EmulatorBuild.require();
    for (Path tool : List.of(HOME.resolve("bin/jlink"), HOME.resolve("jmods"))) {
      skipWithout(Files.exists(tool), tool.toString());
    }
    skipWithout(
        Stream.of(System.getenv("PATH").split(File.pathSeparator))
            .anyMatch(directory -> Files.isExecutable(Path.of(directory, "xz"))),
        "xz on the PATH");
  }

  private static void skipWithout(boolean there, String what) {
    if (!there) {
      String reason = "SKIPPED: no " + what + ": no bundle for a GPU was built";
      System.err.println(reason);
      Assumptions.abort(reason);
    }
  }

  private static String classPath() {
    return Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
        .map(entry -> Path.of(entry).toAbsolutePath().toString())
        .collect(Collectors.joining(File.pathSeparator));
  }

  private static Ended run(String... command) throws IOException, InterruptedException {
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().put("JAVA_HOME", HOME.toString());
    Process process = builder.start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return new Ended(process.waitFor(), said);
  }
}
