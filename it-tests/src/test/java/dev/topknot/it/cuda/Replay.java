package dev.topknot.it.cuda;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A run of a replayer (see {@link EmulatorBuild#replayer}).
 *
 * @param exit the program's exit status: 0 if neither it nor a sanitizer found anything
 * @param said what it wrote to standard output and standard error
 * @param output what the recording read back, one after the other, little-endian
 */
public record Replay(int exit, String said, ByteBuffer output) {

  /**
   * Replays a recording.
   *
   * @param options {@code ascending}, {@code descending} or {@code random}, then {@code eager} or
   *     {@code lazy}
   */
  public static Replay run(Path replayer, Path recording, String... options) throws IOException {
    return run(List.of(replayer.toAbsolutePath().toString()), recording, options);
  }

  /** Likewise, where the replayer is a command of several words. */
  public static Replay run(List<String> replayer, Path recording, String... options)
      throws IOException {
    Path output = Files.createTempFile("replayed", ".bin");
    try {
      List<String> command = new ArrayList<>(replayer);
      command.addAll(List.of(recording.toString(), output.toString()));
      command.addAll(Arrays.asList(options));
      Replay replay = run(command, output);
      if (replay.said.contains("unexpected memory mapping")) {
        // ThreadSanitizer does not know the layouts of newer kernels' address randomization.
        command.addAll(0, List.of("setarch", "x86_64", "-R"));
        replay = run(command, output);
      }
      return replay;
    } finally {
      Files.delete(output);
    }
  }

  private static Replay run(List<String> command, Path output) throws IOException {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    try {
      int exit = process.waitFor();
      ByteBuffer read = ByteBuffer.wrap(Files.readAllBytes(output)).order(ByteOrder.LITTLE_ENDIAN);
      return new Replay(exit, said, read);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted while replaying", e);
    }
  }
}
