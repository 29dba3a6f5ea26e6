package dev.topknot.it.gpu;

import dev.topknot.it.cuda.EmulatedDriver;
import dev.topknot.it.cuda.EmulatorBuild;
import dev.topknot.it.cuda.Recording;
import dev.topknot.it.cuda.RecordingDriver;
import dev.topknot.it.cuda.Replay;
import dev.topknot.it.cuda.TopknotTwin;
import dev.topknot.it.cuda.Twin;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Matrix;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cuda.CudaDevice;
import dev.topknot.runtime.cuda.Driver;
import dev.topknot.runtime.cuda.Probe;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * All launches of layers and of whole training steps, recorded while the emulator did them. {@code
 * replay.cpp} does them again on a GPU, and what it reads back must be what the emulator gave.
 * Nothing of Java is between: if these agree and Java's results do not, Java is at fault.
 */
final class Recordings {
  /** Where a bundle has them: NAME.recording, and NAME.reads with what was read back. */
  private static final Path FOLDER = Path.of("gpu", "recordings");

  /** The replayer for GPUs, as a bundle has it. */
  private static final Path REPLAYER = Path.of("gpu", "replay");

  private static final double TOLERANCE = 1e-5;

  /** Where a last bit of a sum decides which bf16 its rounding gives, 2^-8 of the value apart. */
  private static final double BF16_TOLERANCE = 1e-3;

  /** The 96 bytes of struct Run: see run.cuh. */
  private static final int RUN_BYTES = 96;

  private static final int STATUS = 28;
  private static final int LOSS = 72;
  private static final int NORM = 80;

  /** A large ε: else Adam makes rounding noise of tiny gradients large. */
  private static final Update UPDATE = Update.of(0.01).withEpsilon(1e-2).withClip(1);

  private final Findings findings;
  private final boolean emulated;

  Recordings(Findings findings, boolean emulated) {
    this.findings = findings;
    this.emulated = emulated;
  }

  private static final Program TWIN = new Program("Twin", Twin.class, TOLERANCE, Recordings::train);

  private static final Program NOISY =
      layer("Noisy", TOLERANCE, TopknotShapes_Noisy::on, TopknotShapes_Noisy.TOKENS);

  private static final List<Program> PROGRAMS =
      List.of(
          TWIN,
          NOISY,
          layer("Gated", TOLERANCE, TopknotShapes_Gated::on, TopknotShapes_Gated.TOKENS),
          layer("Switched", TOLERANCE, TopknotShapes_Switched::on, TopknotShapes_Switched.TOKENS),
          layer("Wide", BF16_TOLERANCE, TopknotShapes_Wide::on, TopknotShapes_Wide.TOKENS),
          layer("Single", TOLERANCE, TopknotShapes_Single::on, TopknotShapes_Single.TOKENS));

  /**
   * What is recorded.
   *
   * @param kernels name of the generated source
   * @param beside the class beside which it lies
   * @param tolerance how far a device may be from the emulator
   * @param work what is asked of the device
   */
  private record Program(String kernels, Class<?> beside, double tolerance, Consumer<Device> work) {
    Path file(Path folder, String ending) {
      return folder.resolve(kernels + ending);
    }
  }

  private static Program layer(
      String name, double tolerance, BiFunction<Device, Long, MoE> opener, int tokens) {
    return new Program(
        "Shapes_" + name,
        Shapes.class,
        tolerance,
        device -> {
          try (MoE layer = opener.apply(device, 1L)) {
            passes(device, layer, tokens);
          }
        });
  }

  /** Three steps, one of them in parts, with fewer and fewer valid tokens. */
  private static void train(Device device) {
    try (Twin model = TopknotTwin.on(device, 1)) {
      for (int step = 0; step < 3; step++) {
        Batch batch = TwinRun.batch(step, TwinRun.TOKENS - 3 * step);
        if (step == 1) {
          model.accumulate(batch);
          model.update(UPDATE);
        } else {
          model.train(batch, UPDATE);
        }
        read(model.parameters(), Parameter::gradient);
        read(model.parameters(), Parameter::value);
      }
    }
  }

  private static void passes(Device device, MoE layer, int tokens) {
    Draw draw = new Draw(2);
    int width = Math.toIntExact(layer.parameters().get(0).value().shape()[1]);
    for (Parameter parameter : layer.parameters()) {
      Tensor value = parameter.value();
      int columns = Math.toIntExact(value.shape()[value.shape().length - 1]);
      int rows = Math.toIntExact(value.size() / columns);
      value.copyFrom(draw.weights(rows, columns).toFloats());
    }
    try (Tensor x = device.tensor(tokens, width);
        Tensor y = device.tensor(tokens, width);
        Tensor dy = device.tensor(tokens, width);
        Tensor dx = device.tensor(tokens, width)) {
      x.copyFrom(draw.normal(tokens, width, 1).toFloats());
      dy.copyFrom(draw.normal(tokens, width, 1).toFloats());
      layer.forward(x, y);
      layer.backward(dy, dx);
      floats(y);
      floats(dx);
      read(layer.parameters(), Parameter::gradient);
      layer.update(UPDATE);
      read(layer.parameters(), Parameter::value);
      layer.infer(x, y);
      floats(y);
    }
  }

  private static void read(List<Parameter> parameters, Function<Parameter, Tensor> part) {
    parameters.forEach(parameter -> floats(part.apply(parameter)));
  }

  private static void floats(Tensor tensor) {
    tensor.copyTo(new float[Math.toIntExact(tensor.size())]);
  }

  /** Makes all recordings. */
  static void record(Path folder) throws IOException {
    Files.createDirectories(folder);
    for (Program program : PROGRAMS) {
      try (Recording recording = new Recording(program.file(folder, ".recording"));
          DataOutputStream reads =
              new DataOutputStream(Files.newOutputStream(program.file(folder, ".reads")))) {
        RecordingDriver driver = new RecordingDriver(new EmulatedDriver(), recording);
        program.work.accept(CudaDevice.of(driver));
        for (byte[] read : driver.reads()) {
          reads.writeInt(read.length);
          reads.write(read);
        }
      }
    }
  }

  /** Replays all of them, on the emulator only one, and compares. */
  void check() throws IOException {
    for (Program program : emulated ? List.of(NOISY) : PROGRAMS) {
      Replay replay = replay(program);
      if (replay.exit() != 0) {
        findings.check(program.kernels, false, lastLine(replay.said()));
        continue;
      }
      double worst = 0;
      int count = 0;
      try (DataInputStream reads =
          new DataInputStream(Files.newInputStream(program.file(FOLDER, ".reads")))) {
        while (reads.available() > 0) {
          byte[] expected = reads.readNBytes(reads.readInt());
          byte[] actual = new byte[expected.length];
          replay.output().get(actual);
          worst = TwinRun.larger(worst, distance(bytes(actual), bytes(expected)));
          count++;
        }
      }
      findings.check(
          program.kernels,
          worst <= program.tolerance && !replay.output().hasRemaining(),
          String.format(
              Locale.ROOT,
              "%s, %d reads, largest relative distance %.1e",
              lastLine(replay.said()),
              count,
              worst));
    }
  }

  private static ByteBuffer bytes(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** ‖actual − expected‖ / ‖expected‖ of what was read in one call: floats, or a run record. */
  private static double distance(ByteBuffer actual, ByteBuffer expected) {
    if (actual.equals(expected)) {
      return 0;
    }
    if (expected.remaining() == RUN_BYTES) {
      return actual.getInt(STATUS) == expected.getInt(STATUS)
          ? TwinRun.larger(relative(actual, expected, LOSS), relative(actual, expected, NORM))
          : Double.POSITIVE_INFINITY;
    }
    return matrix(actual).distanceFrom(matrix(expected));
  }

  private static double relative(ByteBuffer actual, ByteBuffer expected, int at) {
    return Matrix.row(actual.getDouble(at)).distanceFrom(Matrix.row(expected.getDouble(at)));
  }

  private static Matrix matrix(ByteBuffer bytes) {
    float[] floats = new float[bytes.remaining() / Float.BYTES];
    bytes.asFloatBuffer().get(floats);
    return Matrix.of(1, floats.length, floats);
  }

  private Replay replay(Program program, String... before) throws IOException {
    Path recording = program.file(FOLDER, ".recording");
    if (emulated) {
      Path replayer = EmulatorBuild.replayer(source(program), EmulatorBuild.Variant.PLAIN);
      return Replay.run(List.of(replayer.toString()), recording, "random", "lazy");
    }
    List<String> command = new ArrayList<>(List.of(before));
    command.add(REPLAYER.toAbsolutePath().toString());
    Optional<Path> ahead = builtAhead(program);
    if (ahead.isPresent()) {
      Replay replay = Replay.run(command, recording, ahead.get().toString());
      if (!replay.said().contains("cuModuleLoad")) {
        return replay;
      }
    }
    return Replay.run(command, recording, build(program).toString());
  }

  private static String source(Program program) throws IOException {
    return new String(resource(program, ".cu").orElseThrow(), StandardCharsets.UTF_8);
  }

  private static Optional<byte[]> resource(Program program, String ending) throws IOException {
    try (InputStream in = program.beside.getResourceAsStream(program.kernels + ending)) {
      return in == null ? Optional.empty() : Optional.of(in.readAllBytes());
    }
  }

  /** What the bundle has for this device, in a file. */
  private Optional<Path> builtAhead(Program program) throws IOException {
    Driver.Properties device = Probe.result().devices().get(0);
    String ending =
        device.major() == 8
            ? ".sm_80.cubin"
            : device.major() == 9 ? ".sm_90a.cubin" : ".compute_80.ptx";
    Optional<byte[]> image = resource(program, ending);
    return image.isEmpty()
        ? Optional.empty()
        : Optional.of(Files.write(program.file(findings.folder(), ending), image.get()));
  }

  /** With the nvcc of this machine: a driver may refuse what a newer toolkit made. */
  private Path build(Program program) throws IOException {
    Path text = program.file(findings.folder(), ".cu");
    Files.writeString(text, source(program));
    Path image = program.file(findings.folder(), ".cubin");
    Process nvcc =
        new ProcessBuilder(
                "nvcc",
                "-std=c++17",
                "-arch=native",
                "-cubin",
                "-I../runtime-cuda/src/main/resources",
                text.toString(),
                "-o",
                image.toString())
            .redirectErrorStream(true)
            .start();
    String said = new String(nvcc.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (!Files.exists(image)) {
      throw new IOException("no kernels of " + program.kernels + " for this device: " + said);
    }
    return image;
  }

  /** Runs recordings under compute-sanitizer, each tool in turn; says so where there is none. */
  void sanitize() throws IOException {
    Optional<Path> sanitizer =
        Stream.of(System.getenv("PATH").split(File.pathSeparator))
            .map(folder -> Path.of(folder, "compute-sanitizer"))
            .filter(Files::isExecutable)
            .findFirst();
    if (emulated || sanitizer.isEmpty()) {
      findings.fact(
          "compute-sanitizer", emulated ? "not for the emulator" : "not on the PATH: nothing run");
      return;
    }
    for (Program program : List.of(NOISY, TWIN)) {
      for (String tool : List.of("memcheck", "racecheck")) {
        Replay replay =
            replay(program, sanitizer.get().toString(), "--tool", tool, "--error-exitcode", "9");
        Files.writeString(program.file(findings.folder(), "." + tool + ".log"), replay.said());
        findings.check(
            tool + " of " + program.kernels, replay.exit() == 0, lastLine(replay.said()));
      }
    }
  }

  private static String lastLine(String text) {
    return text.strip().lines().reduce((first, second) -> second).orElse("nothing said");
  }
}
