package dev.topknot.benchmark;

import com.sun.jna.Function;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What this process holds in memory; Linux only, else nothing is known. */
final class Memory {
  private static final Path RESET = Path.of("/proc/self/clear_refs");
  private static final String RESET_PEAK = "5";

  private Memory() {}

  /** Gives back what is free and lets the peak begin anew. */
  static void settle() {
    System.gc(); // values that weights and inputs were made from
    try {
      Function.getFunction("c", "malloc_trim").invokeInt(new Object[] {0L});
      Files.writeString(RESET, RESET_PEAK);
    } catch (UnsatisfiedLinkError | IOException e) {
      // then the peak is that since the start
    }
  }

  /** The most bytes that were in memory since {@link #settle}; 0 where it is not known. */
  static long peak() {
    return Machine.peak();
  }
}
