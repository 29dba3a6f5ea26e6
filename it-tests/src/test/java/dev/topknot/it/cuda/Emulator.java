package dev.topknot.it.cuda;

import com.sun.jna.Function;
import com.sun.jna.Library;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * A library of kernels that run on this CPU (see {@code src/test/cuda/README.md}). Any emulator's
 * kernels can use any other's memory; each checks the redzones of its own.
 */
public final class Emulator implements AutoCloseable {

  /** Which thread and block run next. */
  public enum Schedule {
    /** First come, first served: the threads of a block in lockstep. */
    ASCENDING(0),
    /** The last made ready first: each warp far ahead of the others. */
    DESCENDING(1),
    /** By the seed. */
    RANDOM(2);

    private final int code;

    Schedule(int code) {
      this.code = code;
    }
  }

  private static final int RTLD_NOW = 2; // and not RTLD_GLOBAL: each library has its own emulator

  private final NativeLibrary library;
  private final Function launch;
  private final Function check;

  private Emulator(NativeLibrary library) {
    this.library = library;
    launch = library.getFunction("emulator_launch");
    check = library.getFunction("emulator_check");
  }

  /** Compiles a source and loads it; aborts the calling test where there is no g++. */
  public static Emulator of(String source) {
    return of(EmulatorBuild.library(source));
  }

  /** Loads what {@link EmulatorBuild#library} built. */
  public static Emulator of(Path library) {
    return new Emulator(
        NativeLibrary.getInstance(
            library.toAbsolutePath().toString(), Map.of(Library.OPTION_OPEN_FLAGS, RTLD_NOW)));
  }

  /**
   * How later launches run.
   *
   * @param eager whether asynchronous copies land when issued, not when waited for
   * @param seed of the random schedule
   * @param workers how many CPU threads run blocks
   */
  public void configure(Schedule schedule, boolean eager, long seed, int workers) {
    library
        .getFunction("emulator_configure")
        .invokeVoid(new Object[] {schedule.code, eager ? 1 : 0, seed, workers});
  }

  /**
   * Runs a kernel to its end and checks this emulator's memory.
   *
   * @param grid blocks in x, y and z
   * @param block threads in x, y and z
   * @param sharedBytes of dynamic shared memory
   * @param parameters device addresses and constants, 24 at most
   * @return what went wrong, with kernel, block and thread; empty if nothing did
   */
  public Optional<String> launch(
      String kernel, int[] grid, int[] block, long sharedBytes, long... parameters) {
    Pointer error =
        launch.invokePointer(
            new Object[] {kernel, grid, block, sharedBytes, parameters, parameters.length});
    return text(error);
  }

  /**
   * Memory between redzones, full of NaN; from 1 GiB on full of zeros and in use only where it is
   * touched.
   *
   * @throws OutOfMemoryError if there is no more
   */
  public long allocate(long bytes) {
    Pointer address = library.getFunction("emulator_allocate").invokePointer(new Object[] {bytes});
    if (address == null) {
      throw new OutOfMemoryError("the emulator could not allocate " + bytes + " bytes");
    }
    return Pointer.nativeValue(address);
  }

  /** Frees memory of this emulator; returns which redzones were overrun, if any. */
  public Optional<String> free(long address) {
    return text(
        library.getFunction("emulator_free").invokePointer(new Object[] {new Pointer(address)}));
  }

  /** Which allocations of this emulator were overrun since the last check, if any. */
  public Optional<String> check() {
    return text(check.invokePointer(new Object[0]));
  }

  private static Optional<String> text(Pointer error) {
    return Optional.ofNullable(error).map(text -> text.getString(0));
  }

  /** Unloads the library; its memory stays. */
  @Override
  public void close() {
    library.close();
  }
}
