package dev.topknot.runtime.cuda;

import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.program.Init;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.ModelInstance;
import dev.topknot.runtime.program.ModelShape;
import dev.topknot.runtime.program.Program;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.List;

/**
 * A model of one weight w on a {@link FakeDriver}: the loss of a token is w · (input + carried) −
 * target; what is carried is the sum of the inputs. A step is w −= rate · gradient.
 */
final class SumModel extends CudaModel {
  static final int BATCH = 2;
  static final int TIMESTEPS = 3;
  static final int VOCABULARY = 5;
  private static final int TOKENS = BATCH * TIMESTEPS;

  static final Layout LAYOUT =
      Layout.of(
          "SumModel",
          List.of(
              new Layout.Entry("w", "weight", 1, 1, 1, 0, Init.GLOROT_UNIFORM, 0),
              new Layout.Entry("rest", "weight", 1, 2, 3, 64, Init.GLOROT_UNIFORM, 1)));

  private SumModel(CudaContext context) {
    super(context);
  }

  static LanguageModel on(Device device) {
    return ModelInstance.open(
        device,
        new ModelShape(BATCH, TIMESTEPS, VOCABULARY, Optimizer.ADAM, Precision.FP32),
        LAYOUT,
        Options.defaults().withLoadLoss(0.5),
        7,
        context -> {
          throw new AssertionError("not the CPU");
        },
        SumModel::new);
  }

  /** A device that knows the kernels. */
  static FakeDriver driver() {
    FakeDriver driver = new FakeDriver();
    driver.kernels.put("forward", p -> forward(driver, p));
    driver.kernels.put("backward", p -> backward(driver, p));
    driver.kernels.put("norm", p -> norm(driver, p));
    driver.kernels.put("update", p -> update(driver, p));
    driver.kernels.put("commit", p -> commit(driver, p));
    return driver;
  }

  // what follows reads and writes struct Run by its offsets, as a kernel does
  private static final int VALID = 12;
  private static final int ADD = 24;
  private static final int STATUS = 28;
  private static final int RATE = 48;
  private static final int LOSS = 72;
  private static final int NORM = 80;
  private static final int FROZEN = 88;
  private static final int GUARD = 92;

  private static boolean may(ByteBuffer run) {
    return run.getInt(GUARD) == 0 || run.getInt(STATUS) == 0;
  }

  private static void forward(FakeDriver driver, long... p) {
    ByteBuffer run = driver.at(p[0]);
    double sum = 0;
    for (int t = 0; t < run.getInt(VALID); t++) {
      float in = driver.at(p[1]).getInt(4 * t) + driver.at(p[4]).getFloat(0);
      sum += driver.at(p[3]).getFloat(0) * in - driver.at(p[2]).getInt(4 * t);
    }
    run.putDouble(LOSS, sum);
    if (!Double.isFinite(sum)) {
      run.putInt(STATUS, 1);
    }
    driver.at(p[5]).putFloat(0, (float) sum);
    driver.at(p[5]).putFloat(4, 1).putFloat(8, 3);
    driver.at(p[6]).putInt(0, 0).putInt(4, 4).putInt(8, 6);
  }

  private static void backward(FakeDriver driver, long... p) {
    ByteBuffer run = driver.at(p[0]);
    float sum = 0;
    for (int t = 0; t < run.getInt(VALID); t++) {
      sum += driver.at(p[1]).getInt(4 * t) + driver.at(p[3]).getFloat(0);
    }
    float before = run.getInt(ADD) == 1 ? driver.at(p[2]).getFloat(0) : 0;
    driver.at(p[2]).putFloat(0, before + sum / run.getInt(VALID));
  }

  private static void norm(FakeDriver driver, long... p) {
    ByteBuffer run = driver.at(p[0]);
    boolean frozen = run.getInt(FROZEN) == 1 && driver.at(p[2]).getInt(24) == 1;
    double norm = frozen ? 0 : Math.abs(driver.at(p[1]).getFloat(0));
    run.putDouble(NORM, norm);
    if (!Double.isFinite(norm)) {
      run.putInt(STATUS, 2);
    }
  }

  private static void update(FakeDriver driver, long... p) {
    ByteBuffer run = driver.at(p[0]);
    if (may(run)) {
      float w = driver.at(p[1]).getFloat(0);
      driver.at(p[1]).putFloat(0, w - run.getFloat(RATE) * driver.at(p[2]).getFloat(0));
    }
  }

  private static void commit(FakeDriver driver, long... p) {
    if (may(driver.at(p[0]))) {
      float sum = driver.at(p[2]).getFloat(0);
      for (int t = 0; t < driver.at(p[0]).getInt(VALID); t++) {
        sum += driver.at(p[1]).getInt(4 * t);
      }
      driver.at(p[2]).putFloat(0, sum);
    }
  }

  @Override
  protected long workspace(Program program) {
    return 8;
  }

  @Override
  protected long scratch(Program program) {
    return 0;
  }

  @Override
  protected long state(Program program) {
    return 1;
  }

  @Override
  protected InputStream kernels(String extension) {
    return extension.equals(".cu") ? new ByteArrayInputStream(new byte[0]) : null;
  }

  @Override
  protected CudaProgram train(CudaContext context) {
    return new Any(context);
  }

  @Override
  protected CudaProgram evaluate(CudaContext context) {
    return new Any(context);
  }

  @Override
  protected CudaProgram generate(CudaContext context) {
    return new Any(context);
  }

  private static final class Any implements CudaProgram {
    private final CudaContext context;
    private final long w;
    private final long sums;
    private final long offsets;
    private final long state;
    private final long options;

    Any(CudaContext context) {
      this.context = context;
      w = context.parameters().at(0);
      sums = context.workspace().at(0);
      offsets = context.workspace().at(4);
      state = context.state().at(0);
      options = context.options("w", 0.25, 0.125, 0.01, 0);
    }

    @Override
    public void forward(Launches l) {
      l.launch(
          "forward",
          3,
          2,
          1,
          64,
          1024,
          l.run(),
          l.inputs(),
          l.targets(),
          w,
          state,
          sums,
          offsets,
          options);
      l.produced("w.y", sums, TOKENS, 0);
      l.produced("w.sums", sums, 1, 3);
    }

    @Override
    public void backward(Launches l) {
      l.launch("backward", 1, 1, 1, 32, 0, l.run(), l.inputs(), context.gradients().at(0), state);
    }

    @Override
    public void norm(Launches l) {
      l.launch("norm", 1, 1, 1, 32, 0, l.run(), context.gradients().at(0), context.slices());
    }

    @Override
    public void update(Launches l) {
      l.launch("update", 1, 1, 1, 32, 0, l.run(), w, context.gradients().at(0));
    }

    @Override
    public void commit(Launches l) {
      l.launch("commit", 1, 1, 1, 32, 0, l.run(), l.inputs(), state);
    }

    @Override
    public List<Gated> gated() {
      return List.of(new Gated("w", 2, sums + 4, sums + 4, offsets));
    }

    @Override
    public long probabilities() {
      return sums;
    }
  }
}
