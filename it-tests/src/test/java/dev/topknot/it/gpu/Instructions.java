package dev.topknot.it.gpu;

import dev.topknot.it.reference.Normal;
import dev.topknot.runtime.cpu.Noise;
import dev.topknot.runtime.cpu.Philox;
import dev.topknot.runtime.cuda.Driver;
import dev.topknot.runtime.cuda.KernelSource;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.IntStream;

/**
 * Each instruction that the kernels rely on, alone, in the kernels of {@code Instructions.cu}, and
 * what it must give, in plain loops: small integers and IEEE arithmetic, so that all is exact.
 */
final class Instructions {
  /** CUDA promises at most 4 units in the last place for the worst of the functions used. */
  private static final double MOST_ULPS = 4;

  private static final DoubleUnaryOperator[] FUNCTIONS = {
    Math::exp,
    Math::tanh,
    x -> Math.log1p(Math.exp(-Math.abs(x))),
    x -> 2 * Normal.cumulative(-Math.sqrt(2) * x)
  };

  private static final String[] NAMES = {"exp", "tanh", "log1p(exp)", "erfc"};

  private Instructions() {}

  /** A launch of one block, and what it must write. */
  static final class Probe {
    private final String kernel;
    private final int threads;
    private final int sharedWords;
    private final int[] in;
    private final int[] expected;
    private final boolean exact;

    /**
     * A launch.
     *
     * @param kernel its name
     * @param threads of the block
     * @param sharedWords of shared memory
     * @param in words it reads
     * @param expected words it must write; of functions that are near and not exact, anything
     * @param exact whether every bit must be as expected
     */
    private Probe(
        String kernel, int threads, int sharedWords, int[] in, int[] expected, boolean exact) {
      this.kernel = kernel;
      this.threads = threads;
      this.sharedWords = sharedWords;
      this.in = in;
      this.expected = expected;
      this.exact = exact;
    }

    String kernel() {
      return kernel;
    }

    int[] expected() {
      return expected.clone();
    }

    boolean exact() {
      return exact;
    }

    /** What is wrong with what a device wrote; empty if nothing is. */
    Optional<String> wrong(int[] actual) {
      if (!exact) {
        return Optional.of(worstUlps(in, actual))
            .filter(worst -> !(worst.ulps <= MOST_ULPS))
            .map(Object::toString);
      }
      int first = Arrays.mismatch(expected, actual);
      if (first < 0) {
        return Optional.empty();
      }
      long count = 0;
      for (int i = 0; i < expected.length; i++) {
        count += expected[i] == actual[i] ? 0 : 1;
      }
      return Optional.of(
          String.format(
              "%d of %d words differ, first %d: 0x%08x, expected 0x%08x",
              count, expected.length, first, actual[first], expected[first]));
    }

    /** What is to be said when nothing is wrong. */
    String right(int[] actual) {
      return exact ? expected.length + " words, all equal" : worstUlps(in, actual).toString();
    }

    @Override
    public String toString() {
      return kernel;
    }
  }

  private record Worst(String function, float x, double ulps) {
    @Override
    public String toString() {
      return String.format("worst: %s of %s, off by %.2f ulp", function, x, ulps);
    }
  }

  private static Worst worstUlps(int[] in, int[] actual) {
    Worst worst = new Worst("none", 0, 0);
    for (int i = 0; i < actual.length; i++) {
      float x = Float.intBitsToFloat(in[i / FUNCTIONS.length]);
      double exact = FUNCTIONS[i % FUNCTIONS.length].applyAsDouble(x);
      double ulps = Math.abs(Float.intBitsToFloat(actual[i]) - exact) / Math.ulp((float) exact);
      if (!(ulps <= worst.ulps)) {
        worst = new Worst(NAMES[i % FUNCTIONS.length], x, ulps);
      }
    }
    return worst;
  }

  /** Runs every probe, leaves what came out in {@code KERNEL.bin}, and checks it. */
  static void check(Driver driver, Findings findings) throws IOException {
    long module = driver.load(source());
    for (Probe probe : probes()) {
      int[] actual = check(driver, module, probe, findings);
      ByteBuffer bytes = ByteBuffer.allocate(4 * actual.length).order(ByteOrder.LITTLE_ENDIAN);
      bytes.asIntBuffer().put(actual);
      Files.write(findings.folder().resolve(probe.kernel + ".bin"), bytes.array());
    }
    driver.unload(module);
  }

  /** Runs the least demanding probe. */
  static void checkOne(Driver driver, Findings findings) {
    long module = driver.load(source());
    check(driver, module, exchangeInWarp(), findings);
    driver.unload(module);
  }

  private static int[] check(Driver driver, long module, Probe probe, Findings findings) {
    int[] actual = run(driver, module, probe);
    Optional<String> wrong = probe.wrong(actual);
    findings.check(probe.kernel, wrong.isEmpty(), wrong.orElseGet(() -> probe.right(actual)));
    return actual;
  }

  static KernelSource source() {
    return new KernelSource(
        "Instructions", ending -> Instructions.class.getResourceAsStream("Instructions" + ending));
  }

  /** Launches one probe; what it does not write is all ones. */
  static int[] run(Driver driver, long module, Probe probe) {
    long in = driver.allocate(4L * probe.in.length);
    long out = driver.allocate(4L * probe.expected.length);
    ByteBuffer host = driver.allocateHost(4 * Math.max(probe.in.length, probe.expected.length));
    host.asIntBuffer().put(probe.in);
    driver.write(in, host.clear().limit(4 * probe.in.length));
    driver.fill(out, -1, probe.expected.length);
    driver.launch(
        driver.kernel(module, probe.kernel),
        1,
        1,
        1,
        probe.threads,
        4 * probe.sharedWords,
        in,
        out);
    int[] actual = new int[probe.expected.length];
    driver.read(host.clear().limit(4 * actual.length), out);
    host.clear();
    host.asIntBuffer().get(actual);
    driver.freeHost(host);
    driver.free(in);
    driver.free(out);
    return actual;
  }

  /** All probes. */
  static List<Probe> probes() {
    return List.of(
        loadMatrix(false),
        loadMatrix(true),
        multiplyMatrices(),
        multiplyWide(),
        multiplyWideTransposed(),
        copyAsynchronously(),
        computeExactly(),
        roundToBf16(),
        exchangeInWarp(),
        shareMuch(),
        countAtomically(),
        drawNoise(),
        approximate());
  }

  private static Probe exact(String kernel, int threads, int sharedWords, int[] in, int[] out) {
    return new Probe(kernel, threads, sharedWords, in, out, true);
  }

  private static Random random(int seed) {
    return new Random(seed);
  }

  private static int pair(int low, int high) {
    return (low & 0xFFFF) | (high << 16);
  }

  /** Lane l gets of matrix i the pair at row l / 4 and columns 2 (l % 4) and + 1, or transposed. */
  private static Probe loadMatrix(boolean transposed) {
    int[] in = random(1).ints(128).toArray();
    int[] out = new int[128];
    for (int lane = 0; lane < 32; lane++) {
      for (int matrix = 0; matrix < 4; matrix++) {
        int low = 2 * (lane % 4);
        int other = lane / 4;
        out[4 * lane + matrix] =
            transposed
                ? pair(element(in, matrix, low, other), element(in, matrix, low + 1, other))
                : pair(element(in, matrix, other, low), element(in, matrix, other, low + 1));
      }
    }
    return exact(transposed ? "load_matrix_transposed" : "load_matrix", 32, 128, in, out);
  }

  /**
   * The address of row r of matrix i is that of lane 8 i + r, which points at row (5 l + 3) % 32.
   */
  private static int element(int[] rows, int matrix, int row, int column) {
    int stored = (5 * (8 * matrix + row) + 3) % 32;
    return rows[4 * stored + column / 2] >>> (16 * (column % 2));
  }

  private static Probe multiplyMatrices() {
    Random random = random(2);
    int[][] a = integers(random, 16, 16);
    int[][] b = integers(random, 8, 16);
    int[][] c = integers(random, 16, 8);
    int[] in = new int[128 + 64 + 128];
    for (int i = 0; i < 128; i++) {
      in[i] = pair(bf16(a[i / 8][i % 8 * 2]), bf16(a[i / 8][i % 8 * 2 + 1]));
      in[192 + i] = Float.floatToRawIntBits(c[i / 8][i % 8]);
    }
    for (int i = 0; i < 64; i++) {
      in[128 + i] = pair(bf16(b[i / 8][i % 8 * 2]), bf16(b[i / 8][i % 8 * 2 + 1]));
    }
    int[] out = new int[128];
    for (int i = 0; i < 128; i++) {
      int sum = c[i / 8][i % 8];
      for (int k = 0; k < 16; k++) {
        sum += 2 * a[i / 8][k] * b[i % 8][k];
      }
      out[i] = Float.floatToRawIntBits(sum);
    }
    return exact("multiply_matrices", 32, 0, in, out);
  }

  private static final int WIDE = 128;
  private static final int DEPTH = 168; // five stages and a part
  private static final int WIDE_SHARED_BYTES = 66_560;

  private static Probe multiplyWide() {
    Random random = random(10);
    int[][] a = integers(random, WIDE, DEPTH);
    int[][] b = integers(random, WIDE, DEPTH);
    IntStream left = pairs(a);
    IntStream right =
        Arrays.stream(b).flatMapToInt(Arrays::stream).map(it -> Float.floatToRawIntBits(it));
    return wide("multiply_wide", left, right, (m, n, k) -> a[m][k] * b[n][k]);
  }

  private static Probe multiplyWideTransposed() {
    Random random = random(11);
    int[][] a = integers(random, DEPTH, WIDE);
    int[][] b = integers(random, DEPTH, WIDE);
    return wide("multiply_wide_transposed", pairs(a), pairs(b), (m, n, k) -> a[k][m] * b[k][n]);
  }

  /** A term of the sum over k that is (m, n) of a product. */
  private interface Term {
    int of(int m, int n, int k);
  }

  private static Probe wide(String kernel, IntStream a, IntStream b, Term term) {
    int[] out = new int[WIDE * WIDE];
    for (int i = 0; i < out.length; i++) {
      int sum = 0;
      for (int k = 0; k < DEPTH; k++) {
        sum += term.of(i / WIDE, i % WIDE, k);
      }
      out[i] = Float.floatToRawIntBits(sum);
    }
    return exact(kernel, 256, WIDE_SHARED_BYTES / 4, IntStream.concat(a, b).toArray(), out);
  }

  /** Rows of bf16, two a word. */
  private static IntStream pairs(int[][] rows) {
    return Arrays.stream(rows)
        .flatMapToInt(
            row ->
                IntStream.range(0, row.length / 2)
                    .map(i -> pair(bf16(row[2 * i]), bf16(row[2 * i + 1]))));
  }

  private static int[][] integers(Random random, int rows, int columns) {
    int[][] values = new int[rows][];
    Arrays.setAll(values, i -> random.ints(columns, -15, 16).toArray());
    return values;
  }

  private static int bf16(int integer) {
    return Float.floatToRawIntBits(integer) >>> 16;
  }

  private static Probe copyAsynchronously() {
    int[] in = random(3).ints(1664).toArray();
    int[] out = new int[1664];
    for (int thread = 0; thread < 128; thread++) {
      int other = 127 - thread;
      for (int i = 0; i < 13; i++) {
        boolean real = i < 4 || (i >= 8 && (i < 12 || other % 2 == 0));
        out[128 * i + thread] = real ? in[128 * i + other] : 0;
      }
    }
    return exact("copy_asynchronously", 128, 1664, in, out);
  }

  /**
   * Any finite floats, tiny and huge, with finite results; ties and subnormal numbers among them.
   */
  private static Probe computeExactly() {
    List<Integer> in = new ArrayList<>();
    List<Integer> out = new ArrayList<>();
    float[] special = {
      0, -0f, 1, 0x1.000002p0f, 0x1p-24f, 3, Float.MIN_VALUE, 0x1.8p-149f, 0x1p127f
    };
    Random random = random(4);
    while (out.size() < 6 * 1024) {
      float[] three = new float[3];
      for (int i = 0; i < 3; i++) {
        three[i] =
            random.nextInt(4) == 0
                ? special[random.nextInt(special.length)]
                : Float.intBitsToFloat(random.nextInt());
      }
      float a = three[0];
      float b = three[1];
      float[] results = {
        a + b, a - b, a * b, Math.fma(a, b, three[2]), a / b, (float) Math.sqrt(Math.abs(a))
      };
      boolean finite = true;
      for (float result : results) {
        finite &= Float.isFinite(result);
      }
      if (finite && Float.isFinite(three[2])) {
        for (float value : three) {
          in.add(Float.floatToRawIntBits(value));
        }
        for (float result : results) {
          out.add(Float.floatToRawIntBits(result));
        }
      }
    }
    return exact("compute_exactly", 256, 0, ints(in), ints(out));
  }

  /** Ties to even, to the next exponent, to infinity; subnormal numbers; NaNs of every kind. */
  private static Probe roundToBf16() {
    int[] ends = {0, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
    Random random = random(5);
    int[] in = new int[2048];
    Arrays.setAll(
        in,
        i -> {
          int high = i % 8 == 0 ? 0x7F7F + random.nextInt(4) : random.nextInt(1 << 16);
          return (i % 16 == 0 ? -1 << 31 : 0) ^ (high << 16 | ends[i % ends.length]);
        });
    int[] out = new int[2 * in.length];
    for (int i = 0; i < in.length; i++) {
      int rounded = Float.isNaN(Float.intBitsToFloat(in[i])) ? 0x7FFF : nearestBf16(in[i]);
      out[2 * i] = rounded;
      out[2 * i + 1] = rounded << 16;
    }
    return exact("round_to_bf16", 256, 0, in, out);
  }

  /** Of the two neighbours the nearer one, of two equally near the even one. */
  private static int nearestBf16(int bits) {
    int below = bits >>> 16;
    int rest = bits & 0xFFFF;
    return rest > 0x8000 || (rest == 0x8000 && below % 2 == 1) ? below + 1 : below;
  }

  private static Probe exchangeInWarp() {
    int[] in = random(6).ints(32).toArray();
    int odd = 0;
    for (int lane = 0; lane < 32; lane++) {
      odd |= (in[lane] & 1) << lane;
    }
    int[] out = new int[9 * 32];
    for (int lane = 0; lane < 32; lane++) {
      for (int i = 0; i < 5; i++) {
        out[9 * lane + i] = in[lane ^ (1 << i)];
      }
      out[9 * lane + 5] = in[13];
      out[9 * lane + 6] = odd;
      out[9 * lane + 7] = 1;
      out[9 * lane + 8] = Integer.numberOfTrailingZeros(odd) + 1;
    }
    return exact("exchange_in_warp", 32, 0, in, out);
  }

  private static Probe shareMuch() {
    int[] in = random(7).ints(1 << 14).toArray();
    int[] out = new int[in.length];
    Arrays.setAll(out, i -> in[in.length - 1 - i]);
    return exact("share_much", 256, in.length, in, out);
  }

  private static Probe countAtomically() {
    int[] in = random(8).ints(4096, 0, 16).toArray();
    int[] out = new int[16];
    for (int value : in) {
      out[value]++;
    }
    return exact("count_atomically", 256, 16, in, out);
  }

  /** The bits of runtime.cpu.Noise; global tokens wrap around. */
  private static Probe drawNoise() {
    long seed = 0x0123456789abcdefL;
    int step = 17;
    int firstToken = Integer.MAX_VALUE - 7;
    int stream = Noise.stream(65535, Noise.Purpose.GATE, 3);
    int[] in = new int[25];
    in[0] = (int) seed;
    in[1] = (int) (seed >>> 32);
    in[2] = step;
    in[4] = firstToken;
    in[24] = stream;
    int[] out = new int[12 * 256];
    int[] words = new int[4];
    float[] normals = new float[64];
    float[] uniforms = new float[64];
    for (int token = 0; token < 16; token++) {
      Noise.normals(seed, step, firstToken + token, stream, normals, 0, 64);
      Noise.uniforms(seed, step, firstToken + token, stream, uniforms, 0, 64);
      for (int block = 0; block < 16; block++) {
        Philox.generate(step, firstToken + token, block, stream, seed, words);
        int at = 12 * (16 * token + block);
        for (int i = 0; i < 4; i++) {
          out[at + i] = words[i];
          out[at + 4 + i] = Float.floatToRawIntBits(normals[4 * block + i]);
          out[at + 8 + i] = Float.floatToRawIntBits(uniforms[4 * block + i]);
        }
      }
    }
    return exact("draw_noise", 256, 0, in, out);
  }

  private static Probe approximate() {
    Random random = random(9);
    int[] in = new int[1024];
    Arrays.setAll(in, i -> Float.floatToRawIntBits(16 * random.nextFloat() - 8));
    return new Probe("approximate", 256, 0, in, new int[FUNCTIONS.length * in.length], false);
  }

  private static int[] ints(List<Integer> values) {
    return values.stream().mapToInt(Integer::intValue).toArray();
  }
}
