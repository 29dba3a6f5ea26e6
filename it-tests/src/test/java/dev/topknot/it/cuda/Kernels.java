package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.jna.Pointer;
import dev.topknot.it.cuda.Emulator.Schedule;
import dev.topknot.it.cuda.EmulatorBuild.Variant;
import dev.topknot.processor.plan.Tile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.LongStream;

/** Launches kernels by hand and compares what they leave, under every schedule. */
final class Kernels {
  private static final int RUN_BYTES = 96;

  /** Without it the wide tile multiplies as it does where there is no wgmma. */
  private static final String WITHOUT_WGMMA = "#define TOPKNOT_WITHOUT_WGMMA\n";

  private final Emulator emulator;
  private final Tile tile;
  private final List<Long> allocated = new ArrayList<>();
  private final Map<String, float[]> results = new TreeMap<>();

  private final Recording recording; // or null
  private final ByteBuffer bytes; // of the recorded results

  private Kernels(Emulator emulator, Tile tile, Recording recording) {
    this.emulator = emulator;
    this.tile = tile;
    this.recording = recording;
    bytes = ByteBuffer.allocate(recording == null ? 0 : 1 << 20);
  }

  /**
   * Compiles kernels and runs a program under three schedules, with asynchronous copies landing
   * early and late; if its struct names the tile of fp32 products, then again with that of bf16,
   * which must agree to 1% of the norm.
   *
   * @return what it passed to {@link #result}, the same bits every time, in fp32
   */
  static Map<String, float[]> everywhere(String source, Consumer<Kernels> program) {
    return everywhere(source, false, program);
  }

  /**
   * Likewise, and once more with ThreadSanitizer and with AddressSanitizer, which must find
   * nothing: for one small shape of each kernel, as compiling for both takes seconds. With the
   * property {@code topknot.sanitize} every program runs so, with bf16 operands too.
   */
  static Map<String, float[]> everywhere(
      String source, boolean sanitize, Consumer<Kernels> program) {
    Map<String, float[]> exact = all(source, Tile.FP32, program);
    boolean all = Boolean.getBoolean("topknot.sanitize");
    if (sanitize || all) {
      sanitized(source, Tile.FP32, program);
    }
    String inBf16 = source.replace("using Tile = Fp32Tile;", "using Tile = Bf16Tile;");
    if (!inBf16.equals(source)) {
      Map<String, float[]> rounded = all(inBf16, Tile.FP32, program);
      exact.forEach((name, values) -> assertNear(name, rounded.get(name), values, 1e-2));
      if (all) {
        sanitized(inBf16, Tile.FP32, program);
      }
    }
    return exact;
  }

  /**
   * Likewise, and where wide also with the wide tile, with wgmma and without; the program rounds
   * what its products read with {@link #rounded}.
   */
  static Map<String, float[]> everywhere(
      String source, boolean wide, boolean sanitize, Consumer<Kernels> program) {
    Map<String, float[]> exact = everywhere(source, sanitize, program);
    if (wide) {
      onTensorCores(source, "Tile", Tile.WIDE, 1e-2, sanitize, exact, program);
    }
    return exact;
  }

  /** Likewise for a gate, whose products are then split between bf16. */
  static Map<String, float[]> everywhereSplit(
      String source, boolean split, boolean sanitize, Consumer<Kernels> program) {
    Map<String, float[]> exact = everywhere(source, sanitize, program);
    if (split) {
      onTensorCores(source, "GateTile", Tile.SPLIT, 2e-5, sanitize, exact, program);
    }
    return exact;
  }

  private static void onTensorCores(
      String source,
      String role,
      Tile tile,
      double tolerance,
      boolean sanitize,
      Map<String, float[]> exact,
      Consumer<Kernels> program) {
    String using = "using %s = %s;";
    String text =
        source.replace(
            using.formatted(role, Tile.FP32.policy()), using.formatted(role, tile.policy()));
    assertThat(text).isNotEqualTo(source);
    for (String variant : List.of(text, WITHOUT_WGMMA + text)) {
      Map<String, float[]> rounded = all(variant, tile, program);
      exact.forEach((name, values) -> assertNear(name, rounded.get(name), values, tolerance));
      if (sanitize || Boolean.getBoolean("topknot.sanitize")) {
        sanitized(variant, tile, program);
      }
    }
  }

  /**
   * Matrices of so many values as products read them: rounded by a kernel where the tile is wide.
   */
  long[] rounded(long run, String kernel, int values, long... matrices) {
    if (!wide()) {
      return matrices;
    }
    long[] rounded = LongStream.of(matrices).map(it -> empty((values + 1) / 2)).toArray();
    long[] parameters =
        LongStream.concat(
                LongStream.of(run),
                LongStream.concat(LongStream.of(matrices), LongStream.of(rounded)))
            .toArray();
    launch(kernel, ceil(values, 1024), matrices.length, 1, 256, 0, parameters);
    return rounded;
  }

  /** Whether products read activations in bf16. */
  boolean wide() {
    return tile == Tile.WIDE;
  }

  /** Compiles kernels and runs a program once, in fp32: for what is too large for more. */
  static void once(String source, Consumer<Kernels> program) {
    try (Emulator emulator = Emulator.of(source)) {
      emulator.configure(Schedule.RANDOM, false, 7, 2);
      Kernels kernels = new Kernels(emulator, Tile.FP32, null);
      program.accept(kernels);
      kernels.free();
    }
  }

  private static Map<String, float[]> all(String source, Tile tile, Consumer<Kernels> program) {
    try (Emulator emulator = Emulator.of(source)) { // few libraries can be loaded at once
      return all(emulator, tile, program);
    }
  }

  private static Map<String, float[]> all(Emulator emulator, Tile tile, Consumer<Kernels> program) {
    Map<String, float[]> first = null;
    for (Schedule schedule : Schedule.values()) {
      for (boolean eager : new boolean[] {true, false}) {
        emulator.configure(schedule, eager, 7, 1);
        Kernels kernels = new Kernels(emulator, tile, null);
        program.accept(kernels);
        kernels.free();
        if (first == null) {
          first = kernels.results;
        }
        for (String name : first.keySet()) {
          assertThat(Arrays.equals(first.get(name), kernels.results.get(name)))
              .as("%s, %s, eager %s: the same bits", name, schedule, eager)
              .isTrue();
        }
      }
    }
    return first;
  }

  private static void sanitized(String source, Tile tile, Consumer<Kernels> program) {
    try {
      Path file = Files.createTempFile("launches", ".bin");
      try (Emulator emulator = Emulator.of(source)) {
        emulator.configure(Schedule.RANDOM, false, 7, 1);
        ByteBuffer expected;
        try (Recording recording = new Recording(file)) {
          Kernels kernels = new Kernels(emulator, tile, recording);
          program.accept(kernels);
          expected = kernels.bytes.flip();
          kernels.free();
        }
        for (Variant variant : List.of(Variant.THREAD, Variant.ADDRESS)) {
          Replay replay =
              Replay.run(EmulatorBuild.replayer(source, variant), file, "random", "lazy");
          assertThat(replay.exit()).as("%s: %s", variant, replay.said()).isZero();
          assertThat(replay.output()).as("%s: the same bits", variant).isEqualTo(expected);
        }
      } finally {
        Files.delete(file);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** What a recording may fail to do. */
  private interface Recorded {
    void in(Recording recording) throws IOException;
  }

  private void record(Recorded what) {
    if (recording == null) {
      return;
    }
    try {
      what.in(recording);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Device memory full of NaN. */
  long empty(long words) {
    long address = emulator.allocate(words * 4);
    allocated.add(address);
    record(to -> to.allocate(address, words * 4));
    return address;
  }

  /** What was written to memory goes to the recording as well. */
  private long written(long address, int words) {
    record(to -> to.write(address, new Pointer(address).getByteBuffer(0, 4L * words)));
    return address;
  }

  long floats(float... values) {
    long address = empty(values.length);
    new Pointer(address).write(0, values, 0, values.length);
    return written(address, values.length);
  }

  long ints(int... values) {
    long address = empty(values.length);
    new Pointer(address).write(0, values, 0, values.length);
    return written(address, values.length);
  }

  /** A run record. */
  long run(int valid, boolean training, boolean add, int status, boolean guard) {
    ByteBuffer record = ByteBuffer.allocate(RUN_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    record.putInt(12, valid).putInt(20, training ? 1 : 0).putInt(24, add ? 1 : 0);
    record.putInt(28, status).putInt(92, guard ? 1 : 0);
    long address = empty(RUN_BYTES / 4);
    new Pointer(address).write(0, record.array(), 0, RUN_BYTES);
    return written(address, RUN_BYTES / 4);
  }

  /** Launches a kernel; one with products says the shared memory of the tile of fp32. */
  void launch(String kernel, int x, int y, int z, int threads, int bytes, long... parameters) {
    int shared =
        bytes >= Tile.FP32.sharedBytes()
            ? bytes + tile.gatedSharedBytes() - Tile.FP32.gatedSharedBytes()
            : bytes;
    assertThat(
            emulator.launch(
                kernel, new int[] {x, y, z}, new int[] {threads, 1, 1}, shared, parameters))
        .as(kernel)
        .isEmpty();
    record(
        to ->
            to.launch(kernel, new int[] {x, y, z}, new int[] {threads, 1, 1}, shared, parameters));
  }

  float[] read(long address, int count) {
    return new Pointer(address).getFloatArray(0, count);
  }

  /** Keeps what the memory holds now. */
  void result(String name, long address, int count) {
    results.put(name, read(address, count));
    if (recording != null) {
      record(to -> to.read(address, 4L * count));
      bytes.put(new Pointer(address).getByteBuffer(0, 4L * count));
    }
  }

  private void free() {
    for (long address : allocated) {
      assertThat(emulator.free(address)).isEmpty();
    }
  }

  static int ceil(int count, int size) {
    return (count + size - 1) / size;
  }

  /**
   * Values in [-scale, scale], scale times a multiple of 1/64: exact in bf16 if scale is, so that a
   * first product is exact in either precision and no ReLU changes its mind.
   */
  static float[] random(long seed, int count, double scale) {
    Random random = new Random(seed);
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) (scale * (random.nextInt(129) - 64) / 64);
    }
    return values;
  }

  /**
   * The first values agree with the reference, relative to the largest of it; those behind are NaN
   * as they were.
   */
  static void assertClose(String name, float[] actual, double[] expected) {
    assertClose(name, actual, expected, 1);
  }

  /** Likewise, where so much larger inputs make so much larger errors. */
  static void assertClose(String name, float[] actual, double[] expected, double scale) {
    double largest = 1e-3;
    for (double value : expected) {
      largest = Math.max(largest, Math.abs(value));
    }
    for (int i = 0; i < actual.length; i++) {
      if (i < expected.length) {
        double error = Math.abs(actual[i] - expected[i]);
        assertThat(error <= 1e-5 * scale * largest)
            .as("%s[%d]: %s, expected %s", name, i, actual[i], expected[i])
            .isTrue();
      } else {
        assertThat(actual[i]).as("%s[%d] left alone", name, i).isNaN();
      }
    }
  }

  private static void assertNear(String name, float[] rounded, float[] exact, double tolerance) {
    double error = 0;
    double norm = 0;
    for (int i = 0; i < exact.length; i++) {
      assertThat(Float.isNaN(rounded[i]))
          .as("bf16: %s[%d]", name, i)
          .isEqualTo(Float.isNaN(exact[i]));
      if (!Float.isNaN(exact[i])) {
        error += Math.pow(rounded[i] - (double) exact[i], 2);
        norm += Math.pow(exact[i], 2);
      }
    }
    assertThat(Math.sqrt(error))
        .as("bf16: %s", name)
        .isLessThanOrEqualTo(tolerance * Math.sqrt(norm));
  }
}
