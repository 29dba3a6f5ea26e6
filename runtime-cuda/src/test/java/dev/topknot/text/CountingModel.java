package dev.topknot.text;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Checkpoint;
import dev.topknot.runtime.Evaluation;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Routing;
import dev.topknot.runtime.Step;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Safetensors;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A unigram model with a memory: all that {@link Trainer} asks of a model, small enough to check by
 * eye. Its weights depend on every token in order, on the carried state, the step, the seed and the
 * rate, so that a resumed run with any of them wrong ends with other weights.
 */
final class CountingModel implements LanguageModel {
  private final int batch;
  private final int timesteps;
  private final int vocabulary;
  private final long seed;
  private final double[] weights;
  private double carried;
  private long step;
  private Step latest;
  private double loss;
  private int tokens;

  /** The step that is not finite, if any. */
  long brokenStep = -1;

  /** How often the carried state was set to zero. */
  int resets;

  CountingModel(int batch, int timesteps, int vocabulary, long seed) {
    this.batch = batch;
    this.timesteps = timesteps;
    this.vocabulary = vocabulary;
    this.seed = seed;
    this.weights = new double[vocabulary];
  }

  /** Every bit that training changes. */
  String bits() {
    return IntStream.range(0, vocabulary)
            .mapToObj(i -> Long.toHexString(Double.doubleToLongBits(weights[i])))
            .collect(Collectors.joining(" "))
        + " "
        + Long.toHexString(Double.doubleToLongBits(carried));
  }

  @Override
  public double accumulate(Batch data) {
    if (step == brokenStep) {
      throw new NonFiniteException("the loss", Double.NaN, step, "weights");
    }
    tokens = data.valid();
    double sum = 0;
    for (int i = 0; i < tokens; i++) {
      sum += nll(data.targets()[i]);
      carried = 0.7 * carried + data.inputs()[i] + 1e-3 * seed;
    }
    loss = sum / tokens;
    for (int i = 0; i < tokens; i++) {
      weights[data.targets()[i]] += 0.01 * Math.sin(carried + step);
    }
    return loss;
  }

  private double nll(int target) {
    double total = 0;
    for (double weight : weights) {
      total += Math.exp(weight);
    }
    return Math.log(total) - weights[target];
  }

  @Override
  public Step update(Update update) {
    for (int i = 0; i < vocabulary; i++) {
      weights[i] += update.rate();
    }
    step++;
    Balance balance =
        new Balance(
            "experts",
            new double[] {tokens, 3.0 * tokens},
            new double[] {tokens, tokens},
            new long[] {tokens, step},
            0,
            0);
    latest = new Step(step, loss, tokens, 2.0 * step, update.rate(), List.of(balance));
    return latest;
  }

  @Override
  public Evaluation evaluate(Iterable<Batch> batches) {
    double sum = 0;
    long count = 0;
    for (Batch data : batches) {
      for (int i = 0; i < data.valid(); i++) {
        sum += nll(data.targets()[i]);
      }
      count += data.valid();
    }
    return new Evaluation(sum / count, count, List.of());
  }

  @Override
  public Evaluation evaluate(Iterable<Batch> batches, BiConsumer<Batch, List<Routing>> routed) {
    throw new UnsupportedOperationException("not asked by a trainer");
  }

  @Override
  public void save(Path path, Map<String, String> extra) throws IOException {
    Map<String, String> metadata = new TreeMap<>(extra);
    metadata.put(Checkpoint.STEP, Long.toString(step));
    metadata.put(Checkpoint.SEED, Long.toString(seed));
    metadata.put("bits", bits());
    byte[] header =
        metadata.entrySet().stream()
            .map(entry -> "\"" + entry.getKey() + "\":\"" + entry.getValue() + "\"")
            .collect(Collectors.joining(",", "{\"__metadata__\":{", "}}"))
            .getBytes(StandardCharsets.UTF_8);
    ByteBuffer file = ByteBuffer.allocate(8 + header.length).order(ByteOrder.LITTLE_ENDIAN);
    try (FileChannel channel = // which closes under an interrupted thread, as that of a real model
        FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      channel.write(file.putLong(header.length).put(header).flip());
      channel.truncate(channel.position());
    }
  }

  @Override
  public void load(Path path) throws IOException {
    Map<String, String> metadata = Safetensors.read(path).metadata();
    step = Long.parseLong(metadata.get(Checkpoint.STEP));
    List<Double> bits = new ArrayList<>();
    for (String word : metadata.get("bits").split(" ", -1)) {
      bits.add(Double.longBitsToDouble(Long.parseUnsignedLong(word, 16)));
    }
    carried = bits.remove(bits.size() - 1);
    for (int i = 0; i < vocabulary; i++) {
      weights[i] = bits.get(i);
    }
  }

  @Override
  public void resetState() {
    carried = 0;
    resets++;
  }

  @Override
  public Balance balance(String layer) {
    return latest.balance();
  }

  @Override
  public IntStream generate(int[] prompt, int count, double temperature, long drawSeed) {
    throw new UnsupportedOperationException("not asked by a trainer");
  }

  @Override
  public LanguageModel inference() {
    throw new UnsupportedOperationException("not asked by a trainer");
  }

  @Override
  public List<Layer> layers() {
    return List.of();
  }

  @Override
  public List<Parameter> parameters() {
    return List.of();
  }

  @Override
  public int batch() {
    return batch;
  }

  @Override
  public int timesteps() {
    return timesteps;
  }

  @Override
  public int vocabulary() {
    return vocabulary;
  }

  @Override
  public long step() {
    return step;
  }

  @Override
  public long seed() {
    return seed;
  }

  @Override
  public void close() {}
}
