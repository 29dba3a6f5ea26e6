package dev.topknot.it.gpu;

import dev.topknot.it.cuda.EmulatedDriver;
import dev.topknot.runtime.cuda.CudaDevice;
import dev.topknot.runtime.cuda.Driver;
import dev.topknot.runtime.cuda.Probe;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** One phase of {@code it-tests/gpu/run}, in a process of its own. */
public final class GpuCheck {
  private static final String USAGE =
      """
      usage: GpuCheck PHASE FOLDER [--emulated] [--seconds SECONDS]

      PHASE is one of
        device         what there is, and one kernel
        instructions   each instruction on its own against plain loops
        recordings     launches recorded on the emulator, with what they gave there
        tests          the twin of the sample's model against the CPU; the tests of generated code
        bits           two runs, the same bits
        figures        how fast layers and the sample's model are
        table7         what the models of [S17] table 7 take, and how fast they learn
        sanitizer      compute-sanitizer over recorded launches
        summary        results.json and results.md from what the phases left
        record         makes the recordings, on the emulator
      and leaves PHASE.json, and more, in FOLDER. With --emulated the device is the emulator, and
      shapes are small. After SECONDS (100) table7 begins nothing more.

      Exit status: 0 all is well, 1 a check failed, 2 wrong usage, 3 no GPU can be used.
      """;

  /** Of {@code table7}, where nothing else is said. */
  private static final int SECONDS = 100;

  private static final int FAILED = 1;
  private static final int USAGE_ERROR = 2;
  private static final int NO_GPU = 3;

  /** Where NVIDIA's kernel module says its version. */
  private static final Path KERNEL_MODULE = Path.of("/proc/driver/nvidia/version");

  private static final Set<String> PHASES_WITHOUT_A_DEVICE = Set.of("summary", "record");

  private GpuCheck() {}

  /** Runs a phase and ends the process. */
  public static void main(String[] arguments) {
    System.exit(run(List.of(arguments)));
  }

  private static int run(List<String> words) {
    if (words.contains("--help")) {
      System.out.print(USAGE);
      return 0;
    }
    List<String> arguments = new ArrayList<>(words);
    boolean emulated = arguments.remove("--emulated");
    int seconds = SECONDS;
    int option = arguments.indexOf("--seconds");
    if (option >= 0 && option + 1 < arguments.size()) {
      arguments.remove(option);
      seconds = Integer.parseInt(arguments.remove(option));
    }
    if (arguments.size() != 2) {
      System.err.print(USAGE);
      return USAGE_ERROR;
    }
    String phase = arguments.get(0);
    Path folder = Path.of(arguments.get(1)).toAbsolutePath();
    if (!emulated && !PHASES_WITHOUT_A_DEVICE.contains(phase) && !DeviceTests.gpu()) {
      System.err.println("no GPU: " + Probe.result().message());
      return NO_GPU;
    }
    try {
      return switch (phase) {
        case "summary" -> Summary.write(folder) ? 0 : FAILED;
        case "record" -> {
          Recordings.record(folder);
          yield 0;
        }
        default -> check(phase, folder, emulated, seconds);
      };
    } catch (IOException e) {
      e.printStackTrace();
      return FAILED;
    }
  }

  private static int check(String phase, Path folder, boolean emulated, int seconds) {
    Findings findings = new Findings(folder, phase);
    try {
      switch (phase) {
        case "device" -> device(findings, emulated);
        case "instructions" -> Instructions.check(device(emulated).driver(), findings);
        case "recordings" -> new Recordings(findings, emulated).check();
        case "tests" -> {
          TwinRun.check(device(emulated), findings);
          DeviceTests.run(findings);
        }
        case "bits" -> SameBits.check(device(emulated), findings, emulated);
        case "figures" -> Figures.measure(device(emulated), findings, emulated);
        case "table7" -> Table7Run.measure(device(emulated), findings, emulated, seconds);
        case "sanitizer" -> new Recordings(findings, emulated).sanitize();
        default -> {
          System.err.print(USAGE);
          return USAGE_ERROR;
        }
      }
    } catch (IOException | RuntimeException | OutOfMemoryError e) {
      e.printStackTrace();
      findings.check("to its end", false, e.toString());
    }
    return findings.failures() == 0 ? 0 : FAILED;
  }

  private static CudaDevice device(boolean emulated) {
    return emulated ? CudaDevice.of(new EmulatedDriver()) : CudaDevice.of(0);
  }

  private static void device(Findings findings, boolean emulated) throws IOException {
    findings.fact("date", LocalDate.now(ZoneOffset.UTC).toString());
    findings.fact("java", System.getProperty("java.runtime.version"));
    findings.fact("found", emulated ? "the emulator" : Probe.result().found());
    if (Files.exists(KERNEL_MODULE)) {
      findings.fact("driver", Files.readAllLines(KERNEL_MODULE).get(0));
    }
    Driver driver = device(emulated).driver();
    Driver.Properties properties = driver.properties();
    findings.fact("device", properties.name());
    findings.fact("capability", properties.major() + "." + properties.minor());
    findings.fact("multiprocessors", String.valueOf(properties.multiprocessors()));
    findings.fact("memory", (properties.memory() >> 20) + " MiB");
    Instructions.checkOne(driver, findings);
  }
}
