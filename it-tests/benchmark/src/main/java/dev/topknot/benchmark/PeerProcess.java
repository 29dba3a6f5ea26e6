package dev.topknot.benchmark;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A JVM of one side, with the settings that serve it best. It sleeps while the other computes. */
final class PeerProcess implements AutoCloseable {
  private static final List<String> COMMON =
      List.of("-Xmx1500m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error");

  private final Process process;
  private final PrintWriter commands;
  private final BufferedReader replies;
  private final String what;

  /** Starts the process; {@link #ready} waits for it. */
  PeerProcess(Side side, Workload workload, int threads) throws IOException {
    what = side + " on " + workload.name();
    List<String> line = new ArrayList<>();
    line.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    line.addAll(COMMON);
    line.addAll(options(side, threads));
    line.addAll(List.of("-cp", System.getProperty("java.class.path"), PeerMain.class.getName()));
    line.addAll(List.of(side.name(), workload.name(), Integer.toString(threads)));
    ProcessBuilder builder =
        new ProcessBuilder(line).redirectError(ProcessBuilder.Redirect.INHERIT);
    builder.environment().putAll(environment(side, threads));
    process = builder.start();
    commands = new PrintWriter(process.getOutputStream(), true, StandardCharsets.UTF_8);
    replies =
        new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
  }

  private static List<String> options(Side side, int threads) {
    return switch (side) {
      case TOPKNOT -> List.of();
      case DJL ->
          List.of(
              // The buffers that arrays are made from are garbage at once: collect them early.
              "-XX:MaxDirectMemorySize=512m",
              "-Dai.djl.pytorch.num_threads=" + threads,
              "-Dai.djl.pytorch.num_interop_threads=1",
              "-Dai.djl.offline=true");
      case LIBTORCH ->
          // Else JavaCPP limits the process to some multiple of Java's heap.
          List.of("-Dorg.bytedeco.javacpp.maxBytes=0", "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0");
      case ONNX_RUNTIME -> List.of("-XX:MaxDirectMemorySize=5g"); // weights are Java's buffers
    };
  }

  private static Map<String, String> environment(Side side, int threads) {
    if (side == Side.TOPKNOT) {
      return Map.of();
    }
    return Map.of(
        "OMP_NUM_THREADS", Integer.toString(threads),
        // Else its threads spin, and a busy neighbour makes it ten times slower.
        "OMP_WAIT_POLICY", "passive",
        // Else the allocator gives the memory of gradients back and faults it in again.
        "MALLOC_ARENA_MAX", "1",
        "MALLOC_MMAP_THRESHOLD_", "1073741824",
        "MALLOC_TRIM_THRESHOLD_", "17179869184",
        "OPT_OUT_TRACKING", "true");
  }

  /**
   * Waits until weights and inputs are in place.
   *
   * @return what computes, and its version
   */
  String ready() throws IOException {
    return reply();
  }

  /** Has the first results of a task written to a file. */
  void results(Task task, Path file) throws IOException {
    ask("results " + task.name() + " " + file);
  }

  /** How the side does a task, if it had a choice. */
  String way(Task task) throws IOException {
    return ask("way " + task.name());
  }

  /** Has memory given back that is not needed; the peak begins anew. */
  void settle() throws IOException {
    ask("settle");
  }

  /** The most bytes in memory since it settled, 0 if unknown. */
  long peak() throws IOException {
    return Long.parseLong(ask("peak"));
  }

  /**
   * Has a task repeated for about some time.
   *
   * @return milliseconds of each call
   */
  double[] turn(Task task, Duration time) throws IOException {
    String nanos = ask("turn " + task.name() + " " + time.toNanos());
    return Arrays.stream(nanos.split(" ")).mapToDouble(t -> Long.parseLong(t) / 1e6).toArray();
  }

  /** Processor time used so far. */
  Duration cpuTime() {
    return process.toHandle().info().totalCpuDuration().orElse(Duration.ZERO);
  }

  private String ask(String command) throws IOException {
    commands.println(command);
    return reply();
  }

  private String reply() throws IOException {
    for (String line = replies.readLine(); line != null; line = replies.readLine()) {
      if (line.startsWith(PeerMain.REPLY)) {
        return line.substring(PeerMain.REPLY.length());
      }
      System.err.println(line);
    }
    throw new IOException(what + " ended; its messages are above");
  }

  @Override
  public void close() {
    commands.close();
    try {
      if (!process.waitFor(30, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
      replies.close();
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
