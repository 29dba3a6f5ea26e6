package dev.topknot.it.gpu;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.topknot.it.gpu.Shapes.Shape;
import dev.topknot.it.reference.Draw;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cuda.CudaDevice;
import dev.topknot.runtime.cuda.Driver;
import dev.topknot.samples.lm.NewsModel;
import dev.topknot.samples.lm.TopknotNewsModel;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How long the launches of a layer's forward and backward take, replayed as one graph; how many
 * words a second the sample's model learns from; and how fast memory is copied.
 *
 * <p>A sample is as many replays as take {@value #SAMPLE_MILLIS} ms or more, between two waits for
 * the device; the figure is the median of {@value #SAMPLES}.
 */
final class Figures {
  private static final int SAMPLES = 15;
  private static final double SAMPLE_MILLIS = 20;

  /** With the gate's noise it makes the experts' shares fall about as Zipf's law says. */
  private static final double ZIPF = 0.5;

  private final CudaDevice device;
  private final Driver driver;
  private final Findings findings;
  private final boolean small;

  private Figures(CudaDevice device, Findings findings, boolean small) {
    this.device = device;
    this.driver = device.driver();
    this.findings = findings;
    this.small = small;
  }

  /** Measures all, the shortest first. */
  static void measure(CudaDevice device, Findings findings, boolean small) {
    Figures figures = new Figures(device, findings, small);
    figures.copies();
    figures.words();
    for (Shape shape : small ? List.of(Shapes.SMALL) : Shapes.MEASURED) {
      figures.layer(shape);
    }
  }

  private record Time(double median, double least, double most) {
    void into(ObjectNode row) {
      row.put("ms", median).put("least", least).put("most", most);
    }
  }

  /** Times some work that is asked of the device and not waited for. */
  private Time time(Runnable work) {
    work.run();
    driver.synchronize();
    double once = millis(work, 1);
    int repeats = small ? 1 : (int) Math.max(1, Math.ceil(SAMPLE_MILLIS / Math.max(once, 1e-3)));
    double[] samples = new double[small ? 3 : SAMPLES];
    Arrays.setAll(samples, i -> millis(work, repeats));
    Arrays.sort(samples);
    return new Time(samples[samples.length / 2], samples[0], samples[samples.length - 1]);
  }

  private double millis(Runnable work, int repeats) {
    long start = System.nanoTime();
    for (int i = 0; i < repeats; i++) {
      work.run();
    }
    driver.synchronize();
    return (System.nanoTime() - start) / 1e6 / repeats;
  }

  private static ObjectNode row(String what) {
    return Findings.JSON.createObjectNode().put("what", what);
  }

  private void copies() {
    long bytes = small ? 1 << 20 : 4L << 30;
    long from = driver.allocate(bytes);
    long to = driver.allocate(bytes);
    driver.fill(from, 0x3F9D70A4, bytes / Integer.BYTES);
    Time time = time(() -> driver.copy(to, from, bytes));
    ObjectNode row = row("copy");
    time.into(row);
    findings.row(row.put("GB/s", 2 * bytes / time.median / 1e6));
    driver.free(from);
    driver.free(to);
  }

  /** Steps of the sample's model as a user takes them, each waited for. */
  private void words() {
    if (small) {
      return; // more than an emulator can do
    }
    int tokens = TopknotNewsModel.TOKENS;
    int vocabulary = TopknotNewsModel.VOCABULARY;
    List<Batch> batches = new ArrayList<>();
    for (int i = 0; i < 8; i++) {
      Draw draw = new Draw(i);
      batches.add(new Batch(draw.ids(tokens, vocabulary), draw.ids(tokens, vocabulary), tokens));
    }
    try (NewsModel model = TopknotNewsModel.on(device, 1)) {
      Update update = Update.of(0.002).withClip(1);
      Time time =
          time(() -> model.train(batches.get((int) (model.step() % batches.size())), update));
      ObjectNode row = row("sample model");
      time.into(row);
      findings.row(row.put("words/s", 1000 * tokens / time.median));
    }
  }

  private void layer(Shape shape) {
    List<Launch> launches = new ArrayList<>();
    CudaDevice noting = CudaDevice.of(noting(launches));
    try (MoE layer = shape.on(noting);
        Operands operands = new Operands(noting, shape)) {
      for (double skew : new double[] {0, ZIPF}) {
        operands.draw(layer, skew);
        launches.clear();
        layer.forward(operands.x(), operands.y());
        double maxOverMean = layer.balance().maxOverMeanLoad();
        layer.backward(operands.dy(), operands.dx());
        List<Launch> step = List.copyOf(launches);
        long graph = driver.capture(() -> step.forEach(Launch::run));
        Time time = time(() -> driver.replay(graph));
        driver.release(graph);
        ObjectNode row =
            row("layer")
                .put("shape", shape.name())
                .put("T", shape.tokens())
                .put("d", shape.width())
                .put("h", shape.hidden())
                .put("n", shape.experts())
                .put("k", shape.k())
                .put("precision", shape.precision().toString())
                .put("routing", skew == 0 ? "uniform" : "Zipf")
                .put("max/mean", maxOverMean);
        time.into(row);
        row.put("TFLOP/s", shape.flops() / time.median / 1e9);
        row.put("GB/s", shape.bytes() / time.median / 1e6);
        kernels(step).forEach(row.putObject("kernels ms")::put);
        findings.row(row);
      }
    }
  }

  /** One launch after the other, each waited for: a few µs too long each, but it says which. */
  private Map<String, Double> kernels(List<Launch> step) {
    Map<String, Double> millis = new LinkedHashMap<>();
    for (Launch launch : step) {
      millis.merge(launch.kernel, millis(launch, 1), Double::sum);
    }
    return millis;
  }

  private record Launch(String kernel, Runnable call) implements Runnable {
    @Override
    public void run() {
      call.run();
    }
  }

  /** The device's driver, which also notes each launch. */
  private Driver noting(List<Launch> launches) {
    Map<Object, String> kernels = new LinkedHashMap<>();
    return (Driver)
        Proxy.newProxyInstance(
            Driver.class.getClassLoader(),
            new Class<?>[] {Driver.class},
            (proxy, method, arguments) -> {
              try {
                Object result = method.invoke(driver, arguments);
                if (method.getName().equals("kernel")) {
                  kernels.put(result, (String) arguments[1]);
                } else if (method.getName().equals("launch")) {
                  launches.add(launch(kernels.get(arguments[0]), arguments));
                }
                return result;
              } catch (InvocationTargetException e) {
                throw e.getCause();
              }
            });
  }

  private Launch launch(String kernel, Object[] arguments) {
    long handle = (long) arguments[0];
    int x = (int) arguments[1];
    int y = (int) arguments[2];
    int z = (int) arguments[3];
    int threads = (int) arguments[4];
    int sharedBytes = (int) arguments[5];
    long[] parameters = (long[]) arguments[6];
    return new Launch(
        kernel, () -> driver.launch(handle, x, y, z, threads, sharedBytes, parameters));
  }
}
