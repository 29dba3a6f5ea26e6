package dev.topknot.runtime.program;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Evaluation;
import dev.topknot.runtime.EvaluationOverflowException;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Routing;
import dev.topknot.runtime.Step;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.CpuModel;
import dev.topknot.runtime.cpu.CpuModelExecutor;
import dev.topknot.runtime.cuda.CudaContext;
import dev.topknot.runtime.cuda.CudaDevice;
import dev.topknot.runtime.cuda.CudaModel;
import dev.topknot.runtime.cuda.CudaModelExecutor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * A language model on some device: checks arguments, threads and the order of calls, counts steps
 * and micro-batches, and leaves the computing to a {@link ModelExecutor}.
 */
public final class ModelInstance implements LanguageModel {
  private final ModelShape shape;
  private final Layout layout;
  private final long seed;
  private final ModelExecutor executor;
  private final Instance instance;
  private final List<Layer> layers;

  private long step;
  private boolean ranForward;
  private Generation generation;

  // Since the latest update: micro-batches, and sums over them.
  private int microBatches;
  private double losses;
  private long tokens;

  private ModelInstance(
      ModelShape shape,
      Layout layout,
      long seed,
      long step,
      ModelExecutor executor,
      BitSet frozen) {
    this.shape = shape;
    this.layout = layout;
    this.seed = seed;
    this.step = step;
    this.executor = executor;
    this.instance = new Instance(layout, executor, frozen);
    this.layers = instance.layers();
  }

  /**
   * Makes a model: takes its memory and gives the parameters their first values.
   *
   * @param device where
   * @param shape its sizes
   * @param layout its parameters
   * @param options that override annotated values
   * @param seed of parameters, noise and dropout
   * @param cpu makes its programs for the CPU
   * @param cuda makes its programs for CUDA devices
   */
  public static LanguageModel open(
      Device device,
      ModelShape shape,
      Layout layout,
      Options options,
      long seed,
      Function<CpuContext, CpuModel> cpu,
      Function<CudaContext, CudaModel> cuda) {
    Objects.requireNonNull(device, "device");
    options.requireLayers(layout.layers());
    BitSet frozen = new BitSet();
    ModelExecutor executor =
        device instanceof CudaDevice gpu
            ? CudaModelExecutor.open(gpu, shape, layout, options, frozen, cuda)
            : CpuModelExecutor.open(
                Instance.cpu(device, layout, shape.precision()),
                shape,
                layout,
                options,
                frozen,
                cpu);
    Instance.initialised(executor, seed);
    return new ModelInstance(shape, layout, seed, 0, executor, frozen);
  }

  /** The same for what was compiled for the CPU alone. */
  public static LanguageModel open(
      Device device,
      ModelShape shape,
      Layout layout,
      Options options,
      long seed,
      Function<CpuContext, CpuModel> cpu) {
    return open(
        device,
        shape,
        layout,
        options,
        seed,
        cpu,
        context -> {
          throw new IllegalArgumentException(
              layout.spec() + " is compiled for the CPU, but the device is " + device);
        });
  }

  @Override
  public Step train(Batch batch, Update update) {
    Objects.requireNonNull(update, "update");
    instance.guard.enter();
    try {
      if (microBatches == 0 && executor.hasMoments()) {
        return trainAlone(batch, update);
      }
      accumulate(batch);
      return update(update);
    } finally {
      instance.guard.leave();
    }
  }

  /** A step of one batch: all on the device, which is asked once how it went. */
  private Step trainAlone(Batch batch, Update update) {
    requireFit(batch);
    ranForward = true;
    ModelExecutor.Outcome outcome = executor.step(batch, step, seed, update);
    double loss = outcome.lossSum() / batch.valid();
    if (!Double.isFinite(loss)) {
      throw new NonFiniteException("the loss", loss, step, executor.firstNonFinite(false));
    }
    if (!Double.isFinite(outcome.norm())) {
      throw new NonFiniteException(
          "the gradient norm", outcome.norm(), step, executor.firstNonFinite(true));
    }
    step++;
    return new Step(step, loss, batch.valid(), outcome.norm(), update.rate(), executor.balances());
  }

  @Override
  public double accumulate(Batch batch) {
    instance.guard.enter();
    try {
      instance.requireTraining("train");
      requireFit(batch);
      return accumulateChecked(batch);
    } finally {
      instance.guard.leave();
    }
  }

  private double accumulateChecked(Batch batch) {
    int firstToken = Math.multiplyExact(microBatches, shape.tokens());
    ranForward = true;
    double loss = executor.forward(batch, step, seed, firstToken) / batch.valid();
    if (!Double.isFinite(loss)) {
      throw new NonFiniteException("the loss", loss, step, executor.firstNonFinite(false));
    }
    if (microBatches == 0) {
      executor.keepState();
    }
    try {
      backward();
    } catch (Throwable t) { // half a gradient is of no use
      dropMicroBatches();
      throw t;
    }
    losses += loss;
    tokens += batch.valid();
    if (!executor.hasMoments()) { // nobody will say that this step has ended
      step++;
      forgetMicroBatches();
    }
    return loss;
  }

  /** The gradients are the mean of the micro-batches: back to their sum, add, the new mean. */
  private void backward() {
    if (microBatches > 1) {
      executor.scaleGradients(microBatches);
    }
    executor.backward(microBatches > 0);
    microBatches++;
    if (microBatches > 1) {
      executor.scaleGradients(1f / microBatches);
    }
    executor.commit();
  }

  @Override
  public Step update(Update update) {
    Objects.requireNonNull(update, "update");
    return instance.inside(
        () -> {
          instance.requireUpdates();
          if (microBatches == 0) {
            throw new IllegalStateException(
                "update without a batch accumulated since the last update");
          }
          double norm = executor.norm();
          if (!Double.isFinite(norm)) {
            String culprit = executor.firstNonFinite(true);
            dropMicroBatches();
            throw new NonFiniteException("the gradient norm", norm, step, culprit);
          }
          executor.update(update, step);
          step++;
          Step done =
              new Step(
                  step, losses / microBatches, tokens, norm, update.rate(), executor.balances());
          forgetMicroBatches();
          return done;
        });
  }

  /** As if the micro-batches since the last update had not been. */
  private void dropMicroBatches() {
    executor.restoreState();
    forgetMicroBatches();
  }

  private void forgetMicroBatches() {
    microBatches = 0;
    losses = 0;
    tokens = 0;
  }

  @Override
  public Evaluation evaluate(Iterable<Batch> batches) {
    return instance.inside(() -> evaluateInside(batches, batch -> {}));
  }

  @Override
  public Evaluation evaluate(Iterable<Batch> batches, BiConsumer<Batch, List<Routing>> routed) {
    Objects.requireNonNull(routed, "routed");
    return instance.inside(
        () ->
            evaluateInside(
                batches,
                batch -> routed.accept(batch, executor.evaluationRoutings(batch.valid()))));
  }

  private Evaluation evaluateInside(Iterable<Batch> batches, Consumer<Batch> evaluated) {
    double sum = 0;
    long count = 0;
    List<Balance> balances = List.of();
    executor.startEvaluation();
    for (Batch batch : batches) {
      requireFit(batch);
      double loss;
      try {
        loss = executor.evaluate(batch);
      } catch (EvaluationOverflowException e) {
        throw instance.reason(e, step);
      }
      if (!Double.isFinite(loss)) {
        throw new NonFiniteException(
            "the loss in evaluation", loss, step, executor.firstNonFiniteInEvaluation());
      }
      sum += loss;
      count += batch.valid();
      balances = plus(balances, executor.evaluationBalances());
      evaluated.accept(batch);
    }
    if (count == 0) {
      throw new IllegalArgumentException("expected at least one batch to evaluate, got none");
    }
    return new Evaluation(sum / count, count, balances);
  }

  private static List<Balance> plus(List<Balance> sums, List<Balance> more) {
    if (sums.isEmpty()) {
      return more;
    }
    List<Balance> result = new ArrayList<>();
    for (int i = 0; i < sums.size(); i++) {
      result.add(sums.get(i).plus(more.get(i)));
    }
    return result;
  }

  @Override
  public IntStream generate(int[] prompt, int count, double temperature, long sampleSeed) {
    Sampler sampler = new Sampler(temperature, sampleSeed);
    if (count < 0) {
      throw new IllegalArgumentException("count must be 0 or more, but is " + count);
    }
    if (prompt.length == 0) {
      throw new IllegalArgumentException("expected a prompt of at least one token, got none");
    }
    for (int i = 0; i < prompt.length; i++) {
      requireId("prompt", i, prompt[i]);
    }
    return instance.inside(
        () -> {
          generation = null; // its state is gone even if the prompt cannot be read
          generation =
              new Generation(instance, executor, sampler, prompt, shape.vocabulary(), step);
          return generation.stream(count, () -> generation);
        });
  }

  @Override
  public void save(Path path, Map<String, String> extra) throws IOException {
    instance.guard.enter();
    try {
      instance.requireTraining("save");
      requireNothingAccumulated("save");
      Checkpoints.save(path, layout, executor, state(), shape.batch(), step, seed, extra);
    } finally {
      instance.guard.leave();
    }
  }

  @Override
  public void load(Path path) throws IOException {
    instance.guard.enter();
    try {
      instance.requireTraining("load");
      step = Checkpoints.load(path, layout, executor, state(), shape.batch());
      forgetMicroBatches();
      ranForward = false;
    } finally {
      instance.guard.leave();
    }
  }

  /** Training state, or null when no layer has any. */
  private Tensor state() {
    Tensor state = executor.state();
    return state.size() == 0 ? null : state;
  }

  /** Carried state has moved on, but the file could not say what else has been accumulated. */
  private void requireNothingAccumulated(String operation) {
    if (microBatches > 0) {
      throw new IllegalStateException(
          operation + " between accumulate and update: call update first");
    }
  }

  @Override
  public LanguageModel inference() {
    return instance.inside(
        () -> new ModelInstance(shape, layout, seed, step, executor.inference(), instance.frozen));
  }

  @Override
  public List<Layer> layers() {
    return layers;
  }

  @Override
  public List<Parameter> parameters() {
    return instance.parameters;
  }

  @Override
  public Balance balance(String layer) {
    return instance.inside(
        () -> {
          instance.requireTraining("balance");
          if (!ranForward) {
            throw new IllegalStateException("balance before the first training forward");
          }
          List<Balance> balances = executor.balances();
          return balances.stream()
              .filter(b -> b.layer().equals(layer))
              .findFirst()
              .orElseThrow(
                  () ->
                      new IllegalArgumentException(
                          "expected a layer with a gate, one of "
                              + balances.stream().map(Balance::layer).toList()
                              + ", got "
                              + layer));
        });
  }

  @Override
  public int batch() {
    return shape.batch();
  }

  @Override
  public int timesteps() {
    return shape.timesteps();
  }

  @Override
  public int vocabulary() {
    return shape.vocabulary();
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
  public void resetState() {
    instance.inside(
        () -> {
          instance.requireTraining("resetState");
          executor.state().fill(0);
          executor.keepState();
          return null;
        });
  }

  @Override
  public void close() {
    instance.close();
  }

  @Override
  public String toString() {
    return layout.spec() + " after " + step + " updates";
  }

  private void requireFit(Batch batch) {
    if (batch.inputs().length != shape.tokens()) {
      throw new IllegalArgumentException(
          String.format(
              "expected a batch of %d x %d = %d tokens, got %d",
              shape.batch(), shape.timesteps(), shape.tokens(), batch.inputs().length));
    }
    for (int i = 0; i < batch.valid(); i++) {
      requireId("inputs", i, batch.inputs()[i]);
      requireId("targets", i, batch.targets()[i]);
    }
  }

  private void requireId(String of, int i, int id) {
    if (id < 0 || id >= shape.vocabulary()) {
      throw new IllegalArgumentException(
          String.format(
              "expected ids in 0..%d, but %s[%d] is %d", shape.vocabulary() - 1, of, i, id));
    }
  }
}
