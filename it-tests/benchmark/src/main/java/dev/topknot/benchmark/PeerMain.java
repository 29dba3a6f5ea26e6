package dev.topknot.benchmark;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * The process of one side. Reads a command a line: {@code results TASK FILE}, {@code turn TASK
 * NANOS}, {@code way TASK}, {@code settle} or {@code peak}; ends with its input. Each is answered
 * by a line that begins with {@link #REPLY}.
 */
final class PeerMain {
  /** Begins an answer; other lines are a library's chatter. */
  static final String REPLY = "= ";

  private PeerMain() {}

  /**
   * Runs one side.
   *
   * @param args side, workload, threads
   */
  public static void main(String[] args) throws IOException {
    Side side = Side.valueOf(args[0]);
    Workload workload = Workload.named(args[1]);
    try (Peer peer = side.open(workload, Integer.parseInt(args[2]));
        BufferedReader in =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      reply(peer.version());
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        String[] words = line.split(" ", 3);
        switch (words[0]) {
          case "results" -> {
            try (Results.Writer out = new Results.Writer(Path.of(words[2]))) {
              peer.results(Task.valueOf(words[1]), out);
            }
            reply("written");
          }
          case "turn" -> reply(turn(peer, Task.valueOf(words[1]), Long.parseLong(words[2])));
          case "way" -> reply(peer.way(Task.valueOf(words[1])));
          case "settle" -> {
            Machine.settle();
            reply("settled");
          }
          case "peak" -> reply(Long.toString(Machine.peak()));
          default -> throw new IOException("no command: " + line);
        }
      }
    }
  }

  /** The nanoseconds of each of some calls: as many as begin within a time, at least one. */
  private static String turn(Peer peer, Task task, long nanos) {
    StringBuilder times = new StringBuilder();
    long start = System.nanoTime();
    long begin = start;
    do {
      peer.run(task);
      long end = System.nanoTime();
      times.append(end - begin).append(' ');
      begin = end;
    } while (begin - start < nanos);
    return times.toString().strip();
  }

  private static void reply(String text) {
    System.out.println(REPLY + text);
  }
}
