package dev.topknot.it.gpu;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Step;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cuda.CudaDevice;
import dev.topknot.runtime.cuda.Driver;
import dev.topknot.samples.table7.Table7;
import dev.topknot.samples.table7.TopknotTable7_FourLstm512;
import dev.topknot.samples.table7.TopknotTable7_Lstm2048Projected512;
import dev.topknot.samples.table7.TopknotTable7_MoE1024Hierarchical;
import dev.topknot.samples.table7.TopknotTable7_MoE143M;
import dev.topknot.samples.table7.TopknotTable7_MoE1Deep;
import dev.topknot.samples.table7.TopknotTable7_MoE1Wide;
import dev.topknot.samples.table7.TopknotTable7_MoE256;
import dev.topknot.samples.table7.TopknotTable7_MoE256Hierarchical;
import dev.topknot.samples.table7.TopknotTable7_MoE32;
import dev.topknot.samples.table7.TopknotTable7_MoE34M;
import dev.topknot.samples.table7.TopknotTable7_MoE4;
import dev.topknot.samples.table7.TopknotTable7_MoE4096Hierarchical;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Random;
import java.util.function.BiFunction;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * The models of [S17] table 7 in the paper's own sizes, trained for a few steps each: what they
 * take, how fast they are, and whether they learn.
 */
final class Table7Run {
  /** What is asked first is what says most. */
  private static final List<Model> MODELS =
      List.of(
          new Model(
              "MoE-4096-h",
              4303.4,
              0.74,
              Table7.MoE4096Hierarchical.class,
              TopknotTable7_MoE4096Hierarchical::on),
          new Model("MoE-256", 272.9, 0.81, Table7.MoE256.class, TopknotTable7_MoE256::on),
          new Model("MoE-143M", 4371.1, 1.56, Table7.MoE143M.class, TopknotTable7_MoE143M::on),
          new Model(
              "MoE-1024-h",
              1079.0,
              0.90,
              Table7.MoE1024Hierarchical.class,
              TopknotTable7_MoE1024Hierarchical::on),
          new Model(
              "4xLSTM-512", 8.4, 1.07, Table7.FourLstm512.class, TopknotTable7_FourLstm512::on),
          new Model("MoE-34M", 4313.9, 1.22, Table7.MoE34M.class, TopknotTable7_MoE34M::on),
          new Model(
              "MoE-256-h",
              272.9,
              0.89,
              Table7.MoE256Hierarchical.class,
              TopknotTable7_MoE256Hierarchical::on),
          new Model("MoE-32", 37.8, 0.87, Table7.MoE32.class, TopknotTable7_MoE32::on),
          new Model("MoE-4", 8.4, 0.52, Table7.MoE4.class, TopknotTable7_MoE4::on),
          new Model(
              "LSTM-2048-512",
              9.4,
              1.21,
              Table7.Lstm2048Projected512.class,
              TopknotTable7_Lstm2048Projected512::on),
          new Model("MoE-1-Wide", 8.4, 1.29, Table7.MoE1Wide.class, TopknotTable7_MoE1Wide::on),
          new Model("MoE-1-Deep", 8.4, 1.29, Table7.MoE1Deep.class, TopknotTable7_MoE1Deep::on));

  /** Stands for them where the device is the emulator. */
  private static final Model SMALL =
      new Model("small", 0.02, 0, Table7Twin.class, TopknotTable7Twin::on);

  /** Millions of parameters: the paper cuts or rounds them to one decimal. */
  private static final double MILLIONS_TOLERANCE = 0.1;

  private static final long SEED = 1;
  private static final int STEPS = 40;
  private static final Update UPDATE = Update.of(0.001).withClip(1);

  private final CudaDevice device;
  private final Driver driver;
  private final Findings findings;

  private Table7Run(CudaDevice device, Findings findings) {
    this.device = device;
    this.driver = device.driver();
    this.findings = findings;
  }

  /**
   * Trains one model after the other.
   *
   * @param seconds a model that would probably take longer than what is left of them is left out
   */
  static void measure(CudaDevice device, Findings findings, boolean small, int seconds) {
    Table7Run run = new Table7Run(device, findings);
    long begun = System.nanoTime();
    double slowest = 0; // seconds a parameter
    for (Model model : small ? List.of(SMALL) : MODELS) {
      Report report = Report.of(model.spec);
      long wanted = report.bytes();
      long free = device.driver().freeBytes();
      double before = seconds(begun);
      if (before + slowest * report.parameters() > seconds) {
        findings.fact(model.name, "left out: no time");
      } else if (wanted > free) {
        findings.fact(
            model.name,
            String.format(Locale.ROOT, "left out: %,d bytes wanted, %,d free", wanted, free));
      } else {
        run.train(model, report);
        slowest = Math.max(slowest, (seconds(begun) - before) / report.parameters());
      }
    }
  }

  private static double seconds(long since) {
    return (System.nanoTime() - since) / 1e9;
  }

  private void train(Model of, Report report) {
    long free = driver.freeBytes();
    long begun = System.nanoTime();
    try (LanguageModel model = of.factory.apply(device, SEED)) {
      ObjectNode row = Findings.JSON.createObjectNode().put("what", "model");
      row.put("model", of.name).put("parameters", parameters(model));
      row.put("start s", seconds(begun));
      counted(of, report, model);
      Words words = new Words(model);
      double[] millis = new double[STEPS];
      double[] losses = new double[STEPS];
      Step step = null;
      for (int i = 0; i < STEPS; i++) {
        Batch batch = words.next();
        long start = System.nanoTime();
        step = model.train(batch, UPDATE);
        millis[i] = 1e3 * seconds(start);
        losses[i] = step.loss();
      }
      row.put("planned bytes", report.bytes()).put("taken bytes", free - driver.freeBytes());
      millis = Arrays.copyOfRange(millis, 1, STEPS); // the first records launches
      Arrays.sort(millis);
      double median = millis[millis.length / 2];
      row.put("ms", median).put("least", millis[0]).put("most", millis[millis.length - 1]);
      row.put("words/s", 1e3 * words.tokens / median);
      row.put("TFLOP/s", flops(model, report) / median / 1e9).put("paper TFLOP/s", of.teraflops);
      row.put("first loss", losses[0]).put("last loss", losses[STEPS - 1]);
      if (!step.balances().isEmpty()) {
        row.put("max/mean", step.balance().maxOverMeanLoad());
      }
      findings.row(row);
      findings.check(
          of.name + " learns",
          Arrays.stream(losses).allMatch(Double::isFinite) && losses[STEPS - 1] < losses[0],
          String.format(Locale.ROOT, "loss %.4f to %.4f", losses[0], losses[STEPS - 1]));
    } catch (RuntimeException | OutOfMemoryError e) {
      e.printStackTrace();
      findings.check(of.name + " trains", false, e.toString());
    }
  }

  /** Whether the model has the parameters of its report, and the paper's where that counts. */
  private void counted(Model of, Report report, LanguageModel model) {
    List<Layer> layers = model.layers();
    double millions =
        layers.subList(1, layers.size() - 1).stream()
                .flatMap(layer -> layer.parameters().stream())
                .filter(parameter -> parameter.shape().length == 2) // no bias
                .mapToLong(parameter -> parameter.value().size())
                .sum()
            / 1e6;
    long all = parameters(model);
    findings.check(
        of.name + " has the paper's parameters",
        all == report.parameters() && Math.abs(millions - of.millions) < MILLIONS_TOLERANCE,
        String.format(
            Locale.ROOT,
            "%,d; without embedding, softmax and biases %.2f million, the paper's %.1f",
            all,
            millions,
            of.millions));
  }

  private static long parameters(LanguageModel model) {
    return model.parameters().stream().mapToLong(parameter -> parameter.value().size()).sum();
  }

  /**
   * Floating-point operations of a step as the paper counts them for its TFLOPS/GPU: forward and
   * backward, with the sampled softmax, a multiply-add as two. Of the softmax that is a token's
   * target and the samples.
   */
  private static double flops(LanguageModel model, Report report) {
    Layer softmax = model.layers().get(model.layers().size() - 1);
    Parameter weight = softmax.parameters().get(0);
    long width = weight.shape()[1];
    double multiplyAdds = report.opsPerTimestep() + width * (report.samples() + 1.0);
    return 2 * 3 * multiplyAdds * model.batch() * model.timesteps();
  }

  /**
   * A row of the table.
   *
   * @param name as in the paper
   * @param millions parameters without embedding, softmax and biases
   * @param teraflops what the paper saw each of its GPUs do in a second
   * @param spec the annotated interface
   * @param factory makes an instance from a seed
   */
  private record Model(
      String name,
      double millions,
      double teraflops,
      Class<? extends LanguageModel> spec,
      BiFunction<CudaDevice, Long, LanguageModel> factory) {}

  /**
   * What the processor said of a model, in the file beside its classes.
   *
   * @param parameters all of them
   * @param opsPerTimestep multiply-adds of a token's forward pass without the softmax
   * @param samples of the softmax in training
   * @param bytes of an instance that trains, on a GPU if the model is large
   */
  private record Report(long parameters, long opsPerTimestep, long samples, long bytes) {
    static Report of(Class<?> spec) {
      String name = spec.getName().substring(spec.getPackageName().length() + 1);
      String text;
      try (InputStream in = spec.getResourceAsStream(name.replace('$', '_') + ".topknot.md")) {
        text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      String optimizer = find(text, "\\| optimizer \\| (\\w+)").orElseThrow();
      return new Report(
          number(find(text, "\\| parameters \\| ([\\d,]+)")),
          number(find(text, "\\| ops/timestep [^|]*\\| ([\\d,]+)")),
          number(find(text, "\\| softmax in training \\| [^|]* ([\\d,]+) samples")),
          number(
              find(text, "\\| " + optimizer + " \\| no \\| ([\\d,]+)")
                  .or(() -> find(text, "\\| all \\| ([\\d,]+)"))));
    }

    private static Optional<String> find(String text, String pattern) {
      return Pattern.compile(pattern).matcher(text).results().map(it -> it.group(1)).findFirst();
    }

    private static long number(Optional<String> digits) {
      return Long.parseLong(digits.orElseThrow().replace(",", ""));
    }
  }

  /** A text for a model: word i comes as often as 1 / (i + 1) says, whatever came before it. */
  private static final class Words {
    private final Random random = new Random(SEED);
    private final double[] upTo;
    private final int batch;
    private final int tokens;

    Words(LanguageModel model) {
      batch = model.batch();
      tokens = batch * model.timesteps();
      upTo = new double[model.vocabulary()];
      double sum = 0;
      for (int i = 0; i < upTo.length; i++) {
        sum += 1.0 / (i + 1);
        upTo[i] = sum;
      }
    }

    Batch next() {
      int[] ids = IntStream.generate(this::word).limit(tokens + batch).toArray();
      return Batch.full(Arrays.copyOf(ids, tokens), Arrays.copyOfRange(ids, batch, ids.length));
    }

    private int word() {
      int place = Arrays.binarySearch(upTo, random.nextDouble() * upTo[upTo.length - 1]);
      return place < 0 ? -place - 1 : place;
    }
  }
}
