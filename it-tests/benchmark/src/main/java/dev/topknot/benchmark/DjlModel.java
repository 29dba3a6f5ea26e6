package dev.topknot.benchmark;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.ndarray.types.SparseFormat;
import ai.djl.nn.core.Embedding;
import ai.djl.nn.core.Linear;
import ai.djl.training.GradientCollector;
import ai.djl.training.loss.Loss;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import dev.topknot.runtime.Batch;
import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The same language model on DJL: its embedding, one LSTM of two layers (a single call, and the
 * fastest), its linear layer, its loss and its Adam. PyTorch's LSTM has two biases that are added
 * up; the second starts at zero.
 */
final class DjlModel implements Peer {
  private static final String SECOND_BIAS = ".bias_hh";

  private final Workload.Model model;
  private final Batch[] batches;
  private final NDManager manager = NDManager.newBaseManager();
  private final Map<String, NDArray> parameters = new LinkedHashMap<>();
  private final Optimizer adam =
      Optimizer.adam().optLearningRateTracker(Tracker.fixed((float) ModelValues.RATE)).build();
  private final Loss loss = Loss.softmaxCrossEntropyLoss();

  private NDArray hidden;
  private NDArray cells;
  private int steps;

  DjlModel(Workload.Model model) {
    this.model = model;
    batches = new ModelValues(model).batches();
    long width = model.width();
    parameter("words.weight", model.vocabulary(), width);
    for (String lstm : new String[] {"below", "above"}) {
      parameter(lstm + ".weight_ih", 4 * width, width);
      parameter(lstm + ".weight_hh", 4 * width, width);
      parameter(lstm + ".bias", 4 * width);
      NDArray second = manager.zeros(new Shape(4 * width));
      second.setRequiresGradient(true);
      parameters.put(lstm + SECOND_BIAS, second);
    }
    parameter("next.weight", model.vocabulary(), width);
    parameter("next.bias", model.vocabulary());
    hidden = manager.zeros(new Shape(2, model.batch(), width));
    cells = manager.zeros(new Shape(2, model.batch(), width));
  }

  private void parameter(String name, long... shape) {
    int size = Math.toIntExact(new Shape(shape).size());
    NDArray array = Djl.create(manager, ModelValues.parameter(name, size), shape);
    array.setRequiresGradient(true);
    parameters.put(name, array);
  }

  /** Forward and backward; the state goes on to the next batch. */
  private float accumulate(Batch batch) {
    try (NDManager scope = manager.newSubManager();
        GradientCollector collector = Engine.getInstance().newGradientCollector()) {
      NDArray words = scope.create(longs(batch.inputs()), shape());
      NDArray targets = scope.create(longs(batch.targets()), new Shape(model.tokens()));
      NDArray embedded =
          Embedding.embedding(words, parameters.get("words.weight"), SparseFormat.DENSE)
              .singletonOrThrow();
      NDList out =
          embedded
              .getNDArrayInternal()
              .lstm(embedded, new NDList(hidden, cells), lstm(), true, 2, 0, true, false, false);
      NDArray flat = out.get(0).reshape(model.tokens(), model.width());
      NDArray logits =
          Linear.linear(flat, parameters.get("next.weight"), parameters.get("next.bias"))
              .singletonOrThrow();
      NDArray mean = loss.evaluate(new NDList(targets), new NDList(logits));
      collector.backward(mean);
      hidden = keep(out.get(1), hidden);
      cells = keep(out.get(2), cells);
      return mean.getFloat();
    }
  }

  private NDArray keep(NDArray state, NDArray before) {
    before.close();
    NDArray kept = state.stopGradient();
    kept.attach(manager);
    return kept;
  }

  private NDList lstm() {
    NDList list = new NDList();
    for (String layer : new String[] {"below", "above"}) {
      for (String name : new String[] {".weight_ih", ".weight_hh", ".bias", SECOND_BIAS}) {
        list.add(parameters.get(layer + name));
      }
    }
    return list;
  }

  private Shape shape() {
    return new Shape(model.timesteps(), model.batch());
  }

  private static long[] longs(int[] ids) {
    return Arrays.stream(ids).asLongStream().toArray();
  }

  /** DJL's Adam clears each gradient when it has used it. */
  private void update() {
    parameters.forEach(
        (name, value) -> {
          try (NDArray gradient = value.getGradient()) {
            adam.update(name, value, gradient);
          }
        });
  }

  @Override
  public String version() {
    return Djl.version();
  }

  @Override
  public void run(Task task) {
    accumulate(next());
    update();
  }

  private Batch next() {
    return batches[steps++ % batches.length];
  }

  @Override
  public void results(Task task, Results.Writer out) throws IOException {
    for (int step = 0; step < ModelValues.COMPARED_STEPS; step++) {
      out.write("loss of step " + step, accumulate(next()));
      if (step == 0) {
        for (Map.Entry<String, NDArray> parameter : parameters.entrySet()) {
          if (!parameter.getKey().endsWith(SECOND_BIAS)) {
            Djl.writeGradient(out, "gradient of " + parameter.getKey(), parameter.getValue());
          }
        }
      }
      update();
    }
  }

  @Override
  public void close() {
    manager.close();
  }
}
