package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.jna.Pointer;
import dev.topknot.it.cuda.Emulator.Schedule;
import dev.topknot.it.cuda.EmulatorBuild.Variant;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.IntToDoubleFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The emulator passes every kernel of {@code planted.cu} and finds the bug planted in each: by its
 * own checks, by wrong values under one of three schedules, eagerly or lazily, or with a sanitizer.
 */
class EmulatorTest {

  private static final float[] IN = integers();

  /** Where a planted bug must show, and how. */
  private enum Finding {
    /** Wrong values or an error, whenever copies land. */
    ALWAYS,
    /** If copies land only when waited for. */
    LAZY,
    /** If copies land at once. */
    EAGER,
    /** Not without a sanitizer. */
    NEVER
  }

  /**
   * A kernel of {@code planted.cu} and its launch.
   *
   * @param outputs how many floats are allocated for it
   * @param expected what it writes to each; NaN: nothing
   * @param error what the broken one's error contains; empty if its values are wrong instead
   */
  private record Planted(
      String kernel,
      int blocks,
      int threads,
      int sharedBytes,
      int outputs,
      IntToDoubleFunction expected,
      Finding finding,
      String error) {

    int[] grid() {
      return new int[] {blocks, 1, 1};
    }

    int[] block() {
      return new int[] {threads, 1, 1};
    }

    List<Float> values() {
      List<Float> values = new ArrayList<>();
      for (int i = 0; i < outputs; i++) {
        values.add((float) expected.applyAsDouble(i));
      }
      return values;
    }

    @Override
    public String toString() {
      return kernel;
    }
  }

  private static final List<Planted> PLANTED =
      List.of(
          planted("reverse", 4, 256, 256, i -> IN[i / 64 * 64 + 63 - i % 64], Finding.ALWAYS, ""),
          planted("rows", 1, 256, 64, EmulatorTest::sumOfRows, Finding.ALWAYS, ""),
          planted("arrival", 4, 256, 256, i -> IN[i / 64 * 64 + 63 - i % 64], Finding.LAZY, ""),
          planted("slots", 1, 512, 64, EmulatorTest::sumOfRows, Finding.EAGER, ""),
          planted("warpSum", 2, 0, 128, i -> sum(i / 32 * 32, 32), Finding.ALWAYS, "mask"),
          planted("tiles", 9, 0, 64, i -> IN[i] * (i < 9 ? 1 : i < 32 ? 3 : 4), Finding.ALWAYS, ""),
          planted(
              "neighbours",
              2,
              256,
              128,
              i -> i % 64 == 0 ? 0 : IN[i] - IN[i - 1],
              Finding.ALWAYS,
              "shared memory was written at byte 256, but the launch gave 256"),
          planted(
              "tail",
              4,
              0,
              250,
              i -> 2 * IN[i],
              Finding.ALWAYS,
              "1000 bytes was written at byte 1000"),
          planted("ranks", 1, 12, 64, EmulatorTest::negativesFirst, Finding.ALWAYS, ""),
          planted("unwritten", 4, 260, 256, i -> sum(i / 64 * 64, 64), Finding.ALWAYS, ""),
          new Planted("product", 1, 32, 1024, 128, EmulatorTest::product, Finding.ALWAYS, ""),
          planted(
              "branch",
              1,
              0,
              64,
              i -> 2 * IN[i],
              Finding.ALWAYS,
              "deadlock: threads 0-31 at __syncthreads (kernels.cu:"),
          planted("blocks", 4, 0, 65, i -> i < 4 ? 2 * IN[64 * i] : Float.NaN, Finding.NEVER, ""),
          planted("swap", 1, 256, 64, i -> IN[i ^ 1], Finding.NEVER, ""),
          planted(
              "aligned",
              1,
              1024,
              256,
              i -> i < 252 ? IN[i] : 0,
              Finding.ALWAYS,
              "is no multiple of 16"),
          planted(
              "vectors", 1, 0, 252, i -> IN[i], Finding.ALWAYS, "misaligned access at kernels.cu:"),
          planted(
              "offsets", 1, 0, 64, i -> 2 * IN[i], Finding.ALWAYS, "overflow of a signed multi"),
          planted("gather", 1, 256, 64, i -> IN[63 - i], Finding.ALWAYS, "access to the address"));

  @TempDir static Path folder;
  private static String source;
  private static Emulator emulator;

  @BeforeAll
  static void compile() throws IOException {
    EmulatorBuild.require();
    source = Files.readString(Path.of("src/test/cuda/planted.cu"));
    emulator = Emulator.of(source);
  }

  @AfterAll
  static void close() {
    if (emulator != null) {
      emulator.close();
    }
  }

  static Stream<Planted> planted() {
    return PLANTED.stream();
  }

  @ParameterizedTest
  @MethodSource("planted")
  void rightKernelsPass(Planted planted) {
    for (Mode mode : Mode.all()) {
      Outcome outcome = run(planted, planted.kernel, mode);
      assertThat(outcome.error).as("%s", mode).isEmpty();
      assertThat(outcome.values).as("%s", mode).isEqualTo(planted.values());
    }
  }

  @ParameterizedTest
  @MethodSource("planted")
  void bugsAreFound(Planted planted) {
    List<Mode> found = new ArrayList<>();
    for (Mode mode : Mode.all()) {
      Outcome outcome = run(planted, planted.kernel + "_broken", mode);
      boolean same =
          planted.finding == Finding.NEVER
              ? outcome.values.subList(0, 4).equals(planted.values().subList(0, 4))
              : outcome.values.equals(planted.values());
      if (outcome.error.isPresent() || !same) {
        found.add(mode);
      }
      if (!planted.error.isEmpty()) {
        assertThat(outcome.error.orElse("no error"))
            .as("%s", mode)
            .startsWith("kernel " + planted.kernel + "_broken: ")
            .contains(planted.error);
      }
    }
    switch (planted.finding) {
      case ALWAYS -> {
        assertThat(found).anyMatch(Mode::eager);
        assertThat(found).anyMatch(mode -> !mode.eager);
      }
      case LAZY -> assertThat(found).isNotEmpty().noneMatch(Mode::eager);
      case EAGER -> assertThat(found).isNotEmpty().allMatch(Mode::eager);
      case NEVER -> assertThat(found).isEmpty();
    }
  }

  @Test
  void aSanitizerPassesRightKernelsAndFindsRacesAndOverruns() throws IOException {
    Path recording = folder.resolve("right");
    record(recording, PLANTED, "");
    for (Variant variant : List.of(Variant.THREAD, Variant.ADDRESS)) {
      Path replayer = EmulatorBuild.replayer(source, variant);
      Replay right = Replay.run(replayer, recording, "random", "lazy");
      assertThat(right.exit()).as(right.said()).isZero();
      assertThat(right.said()).endsWith("replayed " + PLANTED.size() + " launches\n");
      assertThat(floats(right.output().asFloatBuffer()))
          .isEqualTo(PLANTED.stream().flatMap(planted -> planted.values().stream()).toList());

      List<String> kernels =
          variant == Variant.THREAD
              ? List.of("reverse", "rows", "slots", "blocks", "swap")
              : List.of("neighbours", "tail");
      for (String kernel : kernels) {
        List<Planted> one =
            PLANTED.stream().filter(planted -> planted.kernel.equals(kernel)).toList();
        Path broken = folder.resolve(kernel);
        record(broken, one, "_broken");
        Replay found = Replay.run(replayer, broken, "descending", "lazy");
        assertThat(found.exit()).as(kernel + "\n" + found.said()).isNotZero();
        assertThat(found.said())
            .contains(
                variant == Variant.THREAD
                    ? "ThreadSanitizer: data race"
                    : "ERROR: AddressSanitizer")
            .contains(kernel);
      }
    }
  }

  @Test
  void aReplaySaysWhatTheEmulatorFound() throws IOException {
    Path recording = folder.resolve("overrun");
    record(recording, PLANTED.stream().filter(p -> p.kernel.equals("tail")).toList(), "_broken");
    Replay replay = Replay.run(EmulatorBuild.replayer(source, Variant.PLAIN), recording);
    assertThat(replay.exit()).isEqualTo(1);
    assertThat(replay.said()).contains("kernel tail_broken").contains("written at byte 1000");
  }

  @Test
  void aReplayerForGpusNeedsNothingOfCuda() throws Exception {
    Path replayer = folder.resolve("replayer");
    List<String> build =
        List.of("g++", "-std=c++17", "src/test/cuda/replay.cpp", "-o", replayer.toString(), "-ldl");
    assertThat(new ProcessBuilder(build).inheritIO().start().waitFor()).isZero();
    Path recording = folder.resolve("for-gpu");
    record(recording, PLANTED, "");
    Replay replay = Replay.run(replayer, recording, folder.resolve("absent.cubin").toString());
    assertThat(replay.exit()).isEqualTo(1);
    assertThat(replay.said()).containsAnyOf("no CUDA driver", "cuInit", "cuModuleLoad");
  }

  @Test
  void impossibleLaunchesAreRefused() {
    int[] one = {1, 1, 1};
    assertThat(emulator.launch("absent", one, one, 0)).get().asString().contains("not among");
    assertThat(emulator.launch("branch", new int[] {1, 0, 1}, one, 0))
        .get()
        .asString()
        .contains("grid (1, 0, 1)");
    assertThat(emulator.launch("branch", one, new int[] {1025, 1, 1}, 0))
        .get()
        .asString()
        .contains("block (1025, 1, 1)");
    assertThat(emulator.launch("branch", one, one, 1 << 20))
        .get()
        .asString()
        .contains("1048576 bytes of shared memory");
    assertThat(emulator.launch("branch", one, one, 0, new long[25]))
        .get()
        .asString()
        .contains("25 parameters");
    assertThat(emulator.free(1)).get().asString().contains("no allocation");
  }

  @Test
  void memoryBeyondTwoToTheThirtyOneElementsIsSparse() {
    long elements = (1L << 31) + 64;
    long in = emulator.allocate(elements * Float.BYTES);
    long out = emulator.allocate(64 * Float.BYTES);
    long last = in + (1L << 31) * Float.BYTES;
    new Pointer(last).write(0, IN, 0, 64);
    assertThat(emulator.launch("branch", new int[] {1, 1, 1}, new int[] {64, 1, 1}, 0, last, out))
        .isEmpty();
    assertThat(new Pointer(out).getFloat(63 * Float.BYTES)).isEqualTo(2 * IN[63]);
    assertThat(emulator.free(in)).isEmpty();
    assertThat(emulator.free(out)).isEmpty();
  }

  private record Mode(Schedule schedule, boolean eager) {
    static List<Mode> all() {
      List<Mode> all = new ArrayList<>();
      for (Schedule schedule : Schedule.values()) {
        all.add(new Mode(schedule, false));
        all.add(new Mode(schedule, true));
      }
      return all;
    }
  }

  private record Outcome(Optional<String> error, List<Float> values) {}

  private static Outcome run(Planted planted, String kernel, Mode mode) {
    emulator.configure(mode.schedule, mode.eager, 3, 1);
    long in = emulator.allocate((long) IN.length * Float.BYTES);
    long out = emulator.allocate((long) planted.outputs * Float.BYTES);
    new Pointer(in).write(0, IN, 0, IN.length);
    Optional<String> error =
        emulator.launch(kernel, planted.grid(), planted.block(), planted.sharedBytes, in, out);
    FloatBuffer values =
        new Pointer(out).getByteBuffer(0, (long) planted.outputs * Float.BYTES).asFloatBuffer();
    List<Float> read = floats(values);
    assertThat(emulator.free(in)).isEmpty();
    assertThat(emulator.free(out)).isEmpty();
    return new Outcome(error, read);
  }

  private static void record(Path path, List<Planted> launches, String suffix) throws IOException {
    // Any addresses do: the recording keeps allocations and offsets.
    long in = 0x1000;
    long out = 0x100000;
    try (Recording recording = new Recording(path)) {
      recording.allocate(in, (long) IN.length * Float.BYTES);
      ByteBuffer bytes =
          ByteBuffer.allocate(IN.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
      bytes.asFloatBuffer().put(IN);
      recording.write(in, bytes);
      for (Planted planted : launches) {
        long length = (long) planted.outputs * Float.BYTES;
        recording.allocate(out, length);
        recording.launch(
            planted.kernel + suffix, planted.grid(), planted.block(), planted.sharedBytes, in, out);
        recording.read(out, length);
        recording.free(out);
      }
    }
  }

  private static Planted planted(
      String kernel,
      int blocks,
      int sharedBytes,
      int outputs,
      IntToDoubleFunction expected,
      Finding finding,
      String error) {
    return new Planted(kernel, blocks, 64, sharedBytes, outputs, expected, finding, error);
  }

  private static float[] integers() {
    Random random = new Random(11);
    float[] values = new float[512];
    for (int i = 0; i < values.length; i++) {
      values[i] = (1 + random.nextInt(100)) * (random.nextBoolean() ? 1 : -1);
    }
    return values;
  }

  private static double sum(int from, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) {
      sum += IN[from + i];
    }
    return sum;
  }

  private static double sumOfRows(int i) {
    return IN[63 - i] + IN[127 - i] + IN[191 - i] + IN[255 - i];
  }

  private static double negativesFirst(int i) {
    List<Float> sorted = new ArrayList<>();
    for (boolean negative : new boolean[] {true, false}) {
      for (int j = 0; j < 64; j++) {
        if (IN[j] < 0 == negative) {
          sorted.add(IN[j]);
        }
      }
    }
    return sorted.get(i);
  }

  private static double product(int i) {
    double sum = 0;
    for (int k = 0; k < 16; k++) {
      sum += IN[i / 8 * 16 + k] * IN[256 + 8 * k + i % 8];
    }
    return sum;
  }

  private static List<Float> floats(FloatBuffer buffer) {
    List<Float> values = new ArrayList<>();
    while (buffer.hasRemaining()) {
      values.add(buffer.get());
    }
    return values;
  }
}
