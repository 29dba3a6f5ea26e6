package dev.topknot.runtime.cpu;

import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import com.sun.jna.NativeLong;
import com.sun.jna.Platform;
import com.sun.jna.Pointer;

/**
 * Asks Linux for pages of 2 MiB: experts take turns, so that their weights are far apart, and with
 * pages of 4 KiB the processor spends its time looking up where they are.
 */
final class HugePages {
  private static final long PAGE = 2L << 20;
  private static final int MADV_HUGEPAGE = 14;
  private static final Function MADVISE = find();

  private HugePages() {}

  private static Function find() {
    try {
      return Platform.isLinux() ? NativeLibrary.getInstance("c").getFunction("madvise") : null;
    } catch (LinkageError e) {
      return null;
    }
  }

  /**
   * Asks for the whole pages of memory that nobody has written to yet. Where the system knows no
   * such pages, or wants to give none, the memory is as it was.
   */
  static void advise(long address, long bytes) {
    long from = (address + PAGE - 1) & -PAGE;
    long to = (address + bytes) & -PAGE;
    if (MADVISE != null && to > from) {
      MADVISE.invokeInt(new Object[] {new Pointer(from), new NativeLong(to - from), MADV_HUGEPAGE});
    }
  }
}
