package dev.topknot.benchmark;

import com.sun.jna.Function;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.stream.Stream;

/** What the system says about itself; Linux only, else less is known. */
final class Machine {
  private static final String UNKNOWN = "unknown";
  private static final Path CPUINFO = Path.of("/proc/cpuinfo");
  private static final Path MEMINFO = Path.of("/proc/meminfo");
  private static final Path STAT = Path.of("/proc/stat");
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Path CLEAR = Path.of("/proc/self/clear_refs");
  private static final String CLEAR_PEAK = "5";

  /** The kernel's unit of processor time. */
  private static final Duration TICK = Duration.ofMillis(10);

  private Machine() {}

  /** Processor, its number and the memory, for people. */
  static String describe() {
    String flags = value(CPUINFO, "flags");
    return value(CPUINFO, "model name")
        + (flags.contains("avx512f") ? " with AVX-512" : "")
        + ", "
        + Runtime.getRuntime().availableProcessors()
        + " processors, "
        + Math.round(kilobytes(MEMINFO, "MemTotal") / 1048576.0)
        + " GiB";
  }

  /** Bytes that programs can have without swapping; the largest number where it is not known. */
  static long availableMemory() {
    long kilobytes = kilobytes(MEMINFO, "MemAvailable");
    return kilobytes == 0 ? Long.MAX_VALUE : kilobytes * 1024;
  }

  /** Has this process give back memory that is free; its peak begins anew. */
  static void settle() {
    System.gc(); // the values that weights and inputs were made from
    try {
      Function.getFunction("c", "malloc_trim").invokeInt(new Object[] {0L});
      Files.writeString(CLEAR, CLEAR_PEAK);
    } catch (UnsatisfiedLinkError | IOException e) {
      // Not Linux, or not allowed: the peak is that since the start.
    }
  }

  /** The most bytes that this process had in memory since then; 0 where it is not known. */
  static long peak() {
    return kilobytes(STATUS, "VmHWM") * 1024;
  }

  /** Time that all processors together were busy since boot; null where it is not known. */
  static Duration busy() {
    try (Stream<String> lines = Files.lines(STAT)) {
      String[] fields = lines.findFirst().orElse("").split(" +");
      // cpu user nice system idle iowait irq softirq steal
      long[] ticks = Arrays.stream(fields).skip(1).mapToLong(Long::parseLong).toArray();
      return TICK.multipliedBy(ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]);
    } catch (IOException | ArrayIndexOutOfBoundsException | NumberFormatException e) {
      return null;
    }
  }

  private static long kilobytes(Path file, String key) {
    String value = value(file, key).replace(" kB", "");
    return value.equals(UNKNOWN) ? 0 : Long.parseLong(value);
  }

  private static String value(Path file, String key) {
    try (Stream<String> lines = Files.lines(file)) {
      return lines
          .filter(line -> line.startsWith(key))
          .findFirst()
          .map(line -> line.substring(line.indexOf(':') + 1).strip())
          .orElse(UNKNOWN);
    } catch (IOException e) {
      return UNKNOWN;
    }
  }
}
