package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Phase;
import dev.topknot.runtime.program.Program;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;

/**
 * How long each step of a compiled specification takes on the CPU, beside the least it could take
 * here: the greater of its products at the rate that the matrix library reaches for their shapes
 * with everything in cache, and of its bytes at the rate at which memory is read. Both rates are
 * measured in the same run.
 *
 * <pre>
 * java -cp … dev.topknot.runtime.cpu.Phases com.example.NewsExperts [THREADS]
 * </pre>
 *
 * <p>Every token of a call is valid, and tokens are random; parameters that begin at zero are set
 * to small random values (tensors of up to 2^24 elements), so that a gate spreads the tokens over
 * its experts. The plan counts as many experts, and rows of an embedding, as a call can use: where
 * there are more of them than tokens to use them, fewer are used, and the floor is too high.
 */
public final class Phases {
  private static final String USAGE = "expected the name of an annotated interface [THREADS]";
  private static final long WARM_UP_NANOS = 1_000_000_000;
  private static final long NANOS = 3_000_000_000L;
  private static final int LEAST_CALLS = 5;
  private static final Update SMALL = Update.of(1e-5);

  private Phases() {}

  /**
   * One step.
   *
   * @param phase what it is
   * @param seconds its median
   * @param productSeconds the least its products could take
   * @param trafficSeconds the least its bytes could take
   */
  public record Timed(Phase phase, double seconds, double productSeconds, double trafficSeconds) {
    /** The least that the step could take. */
    public double floorSeconds() {
      return Math.max(productSeconds, trafficSeconds);
    }
  }

  /**
   * The steps of a program.
   *
   * @param program which
   * @param seconds the median of all steps together
   * @param steps in the order of the report
   */
  public record Times(Program program, double seconds, List<Timed> steps) {
    /** The least that all steps together could take. */
    public double floorSeconds() {
      return steps.stream().mapToDouble(Timed::floorSeconds).sum();
    }

    /** The part of the time that is the floor. */
    public double share() {
      return floorSeconds() / seconds;
    }
  }

  /**
   * What was measured.
   *
   * @param flopsPerSecond of the fastest product among those of the specification
   * @param bytesPerSecond that memory was read with
   * @param programs training and evaluation
   */
  public record Result(double flopsPerSecond, double bytesPerSecond, List<Times> programs) {}

  /** See the class. */
  public static void main(String[] arguments) throws ReflectiveOperationException {
    if (arguments.length < 1 || arguments.length > 2) {
      throw new IllegalArgumentException(USAGE + ", got " + String.join(" ", arguments));
    }
    int threads =
        arguments.length == 2
            ? Integer.parseInt(arguments[1])
            : Runtime.getRuntime().availableProcessors();
    Class<?> spec = Class.forName(arguments[0]);
    print(spec, threads, measure(spec, threads), System.out);
  }

  /**
   * Measures a specification on some threads; takes about ten seconds.
   *
   * @param spec an annotated interface
   * @throws ClassNotFoundException if there is no class that was generated from it
   */
  public static Result measure(Class<?> spec, int threads) throws ReflectiveOperationException {
    CpuDevice device = CpuDevice.timing(threads);
    Machine machine = new Machine(device.hardware());
    List<Times> programs = new ArrayList<>();
    try (AutoCloseable instance = open(spec, device)) {
      StepClock training = device.clock(Program.TRAIN);
      StepClock evaluation = device.clock(Program.EVALUATE);
      Work work =
          instance instanceof MoE moe
              ? new LayerWork(moe, shape(spec), training)
              : modelWork((LanguageModel) instance);
      programs.add(time(Program.TRAIN, training, work::train, machine));
      programs.add(time(Program.EVALUATE, evaluation, work::evaluate, machine));
      work.close();
    } catch (ReflectiveOperationException | RuntimeException e) {
      throw e;
    } catch (Exception e) { // of close(), which throws none that is checked
      throw new IllegalStateException(e);
    }
    return new Result(machine.peak(), machine.bandwidth(), programs);
  }

  private static AutoCloseable open(Class<?> spec, Device device)
      throws ReflectiveOperationException {
    Method on = entry(spec).getMethod("on", Device.class);
    on.setAccessible(true); // the class is as visible as the interface
    try {
      return (AutoCloseable) on.invoke(null, device);
    } catch (InvocationTargetException e) {
      if (e.getCause() instanceof RuntimeException cause) {
        throw cause;
      }
      throw e;
    }
  }

  private static Class<?> entry(Class<?> spec) throws ClassNotFoundException {
    String name = spec.getName();
    int at = name.lastIndexOf('.') + 1;
    String entry = name.substring(0, at) + "Topknot" + name.substring(at).replace('$', '_');
    try {
      return Class.forName(entry, true, spec.getClassLoader());
    } catch (ClassNotFoundException e) {
      throw new ClassNotFoundException(
          "no class " + entry + ": expected an annotated interface and what was generated from it",
          e);
    }
  }

  /** The tokens of a call of a layer that stands alone, and their width. */
  private static long[] shape(Class<?> spec) throws ReflectiveOperationException {
    long[] shape = new long[2];
    String[] constants = {"TOKENS", "WIDTH"};
    for (int i = 0; i < shape.length; i++) {
      Field constant = entry(spec).getField(constants[i]);
      constant.setAccessible(true);
      shape[i] = constant.getInt(null);
    }
    return shape;
  }

  private static Times time(Program program, StepClock clock, Runnable call, Machine machine) {
    long start = System.nanoTime();
    for (int i = 0; i < LEAST_CALLS || System.nanoTime() - start < WARM_UP_NANOS; i++) {
      call.run();
    }
    clock.take();
    List<long[]> calls = new ArrayList<>();
    start = System.nanoTime();
    while (calls.size() < LEAST_CALLS || System.nanoTime() - start < NANOS) {
      call.run();
      calls.add(clock.take());
    }
    List<Timed> steps = new ArrayList<>();
    for (int i = 0; i < clock.phases().size(); i++) {
      int step = i;
      Phase phase = clock.phases().get(i);
      double products = phase.products().stream().mapToDouble(machine::seconds).sum();
      steps.add(
          new Timed(
              phase,
              median(calls.stream().mapToLong(nanos -> nanos[step]).toArray()),
              products,
              phase.traffic() / machine.bandwidth()));
    }
    long[] sums = calls.stream().mapToLong(nanos -> Arrays.stream(nanos).sum()).toArray();
    return new Times(program, median(sums), steps);
  }

  private static double median(long[] nanos) {
    Arrays.sort(nanos);
    return (nanos[nanos.length / 2] + nanos[(nanos.length - 1) / 2]) * 0.5e-9;
  }

  /** What a program is made to do. */
  private interface Work {
    void train();

    void evaluate();

    /** Gives back the memory of operands. */
    default void close() {}
  }

  private static void spread(List<Parameter> parameters, SplittableRandom random) {
    for (Parameter parameter : parameters) {
      float[] values = new float[Math.toIntExact(Math.min(1 << 24, parameter.value().size()))];
      if (values.length == parameter.value().size()) {
        parameter.value().copyTo(values);
        if (allZero(values)) {
          parameter.value().copyFrom(random(values.length, random));
        }
      }
    }
  }

  private static boolean allZero(float[] values) {
    for (float value : values) {
      if (value != 0) {
        return false;
      }
    }
    return true;
  }

  private static float[] random(int size, SplittableRandom random) {
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextDouble(-0.1, 0.1);
    }
    return values;
  }

  /** A layer that stands alone. */
  private static final class LayerWork implements Work {
    private final MoE moe;
    private final boolean updates;
    private final Tensor x;
    private final Tensor y;
    private final Tensor dy;
    private final Tensor dx;

    LayerWork(MoE moe, long[] shape, StepClock training) {
      this.moe = moe;
      updates = training.phases().stream().anyMatch(it -> it.call().endsWith(".update"));
      SplittableRandom random = new SplittableRandom(1);
      spread(moe.parameters(), random);
      x = Device.cpu().tensor(shape);
      y = Device.cpu().tensor(shape);
      dy = Device.cpu().tensor(shape);
      dx = Device.cpu().tensor(shape);
      x.copyFrom(random(Math.toIntExact(x.size()), random));
      dy.copyFrom(random(Math.toIntExact(dy.size()), random));
    }

    @Override
    public void train() {
      moe.forward(x, y);
      moe.backward(dy, dx);
      if (updates) {
        moe.update(SMALL);
      }
    }

    @Override
    public void evaluate() {
      moe.infer(x, y);
    }

    @Override
    public void close() {
      List.of(x, y, dy, dx).forEach(Tensor::close);
    }
  }

  private static Work modelWork(LanguageModel model) {
    SplittableRandom random = new SplittableRandom(1);
    spread(model.parameters(), random);
    int tokens = model.batch() * model.timesteps();
    Batch batch =
        Batch.full(
            random.ints(tokens, 0, model.vocabulary()).toArray(),
            random.ints(tokens, 0, model.vocabulary()).toArray());
    return new Work() {
      @Override
      public void train() {
        model.train(batch, SMALL);
      }

      @Override
      public void evaluate() {
        model.evaluate(List.of(batch));
      }
    };
  }

  private static void print(Class<?> spec, int threads, Result result, PrintStream out) {
    line(
        out,
        "%s on a CPU with %d threads; products at up to %.0f GFLOP/s, memory read at %.1f GB/s",
        spec.getName(),
        threads,
        result.flopsPerSecond() / 1e9,
        result.bytesPerSecond() / 1e9);
    for (Times times : result.programs()) {
      line(out, "");
      line(
          out,
          "| %s: step | layer | call | ms | least ms for its products | for its bytes | floor"
              + " is |",
          times.program().name().toLowerCase(Locale.ROOT));
      line(out, "|---:|---|---|---:|---:|---:|---:|");
      for (int i = 0; i < times.steps().size(); i++) {
        Timed step = times.steps().get(i);
        line(
            out,
            "| %d | %s | %s | %.3f | %.3f | %.3f | %.0f%% |",
            i,
            step.phase().layer(),
            step.phase().call(),
            step.seconds() * 1e3,
            step.productSeconds() * 1e3,
            step.trafficSeconds() * 1e3,
            100 * step.floorSeconds() / step.seconds());
      }
      line(
          out,
          "| | | all | %.3f | floor: %.3f | | %.0f%% |",
          times.seconds() * 1e3,
          times.floorSeconds() * 1e3,
          100 * times.share());
    }
  }

  private static void line(PrintStream out, String format, Object... values) {
    out.println(String.format(Locale.ROOT, format, values));
  }
}
