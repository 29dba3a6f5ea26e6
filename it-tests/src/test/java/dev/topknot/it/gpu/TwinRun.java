package dev.topknot.it.gpu;

import dev.topknot.it.cuda.TopknotTwin;
import dev.topknot.it.cuda.Twin;
import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Matrix;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;

/** The twin of the sample's model, trained on a device and on the CPU device in plain Java. */
final class TwinRun {
  static final int TOKENS = 20;

  private static final int VOCABULARY = 90;
  private static final long SEED = 5;
  private static final int STEPS = 20;
  private static final Update UPDATE = Update.of(0.01).withClip(1);

  /** Of one step from equal parameters, and of a run. */
  private static final double STEP_TOLERANCE = 1e-5;

  private static final double RUN_TOLERANCE = 1e-3;

  private TwinRun() {}

  static Batch batch(int number, int valid) {
    Draw draw = new Draw(number);
    return new Batch(draw.ids(TOKENS, VOCABULARY), draw.ids(TOKENS, VOCABULARY), valid);
  }

  static void check(Device device, Findings findings) throws IOException {
    gradients(device, findings);
    run(device, findings);
    checkpoint(device, findings);
  }

  /** Three steps of fewer and fewer tokens, each from the CPU's parameters. */
  private static void gradients(Device device, Findings findings) {
    double worst = 0;
    try (Twin own = TopknotTwin.on(device, SEED);
        Twin cpu = TopknotTwin.on(Device.cpu(1), SEED)) {
      for (int step = 0; step < 3; step++) {
        Batch batch = batch(step, TOKENS - 3 * step);
        worst = larger(worst, relative(own.accumulate(batch), cpu.accumulate(batch)));
        List<Parameter> ours = own.parameters();
        List<Parameter> theirs = cpu.parameters();
        for (int i = 0; i < ours.size(); i++) {
          Matrix gradient = matrix(ours.get(i), Parameter::gradient);
          worst = larger(worst, gradient.distanceFrom(matrix(theirs.get(i), Parameter::gradient)));
        }
        double norm = own.update(UPDATE).gradientNorm();
        worst = larger(worst, relative(norm, cpu.update(UPDATE).gradientNorm()));
        for (int i = 0; i < ours.size(); i++) {
          ours.get(i).value().copyFrom(matrix(theirs.get(i), Parameter::value).toFloats());
        }
      }
    }
    findings.check(
        "loss, gradients and norm of the twin",
        worst <= STEP_TOLERANCE,
        String.format(Locale.ROOT, "largest relative distance from the CPU's %.1e", worst));
  }

  /** From one seed, free-running, at a rate under which the loss falls. */
  private static void run(Device device, Findings findings) {
    double first = 0;
    double last = 0;
    double worst = 0;
    try (Twin own = TopknotTwin.on(device, SEED);
        Twin cpu = TopknotTwin.on(Device.cpu(1), SEED)) {
      for (int step = 0; step < STEPS; step++) {
        Batch batch = batch(step % 2, TOKENS);
        last = cpu.train(batch, UPDATE).loss();
        worst = larger(worst, relative(own.train(batch, UPDATE).loss(), last));
        first = step == 0 ? last : first;
      }
    }
    findings.check(
        STEPS + " steps of the twin",
        worst <= RUN_TOLERANCE && last < 0.95 * first,
        String.format(
            Locale.ROOT,
            "loss %.4f to %.4f, largest relative distance from the CPU's %.1e",
            first,
            last,
            worst));
  }

  /** What the device saves the CPU loads, and saves again as the same bytes. */
  private static void checkpoint(Device device, Findings findings) throws IOException {
    Path there = findings.folder().resolve("twin.safetensors");
    Path here = findings.folder().resolve("twin-cpu.safetensors");
    try (Twin own = TopknotTwin.on(device, SEED);
        Twin cpu = TopknotTwin.on(Device.cpu(1), SEED)) {
      own.train(batch(0, TOKENS), UPDATE);
      own.save(there);
      cpu.load(there);
      cpu.save(here);
      boolean same = Arrays.equals(Files.readAllBytes(there), Files.readAllBytes(here));
      findings.check("a checkpoint of the twin", same, "on the CPU and back");
    }
  }

  private static double relative(double actual, double expected) {
    return Math.abs(actual - expected) / Math.abs(expected);
  }

  /** NaN is largest. */
  static double larger(double a, double b) {
    return Double.isNaN(a) || Double.isNaN(b) ? Double.NaN : Math.max(a, b);
  }

  private static Matrix matrix(Parameter parameter, Function<Parameter, Tensor> part) {
    Tensor tensor = part.apply(parameter);
    float[] values = new float[Math.toIntExact(tensor.size())];
    tensor.copyTo(values);
    return Matrix.of(1, values.length, values);
  }
}
