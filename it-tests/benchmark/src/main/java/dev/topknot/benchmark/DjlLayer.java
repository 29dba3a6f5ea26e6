package dev.topknot.benchmark;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.SparseFormat;
import ai.djl.nn.Activation;
import ai.djl.nn.core.Embedding;
import ai.djl.nn.core.Linear;
import ai.djl.training.GradientCollector;
import java.io.IOException;
import java.util.stream.IntStream;

/**
 * The same layer on DJL: tokens are sorted by expert in Java, each expert is two products over its
 * rows.
 *
 * <p>Of the ways to say this, the fastest: rows are gathered as an embedding looks words up, whose
 * backward is parallel; they are split once, so that backward joins them once, where a slice for
 * each expert would add up as many arrays of all rows; the weights are detached for each pass, so
 * that backward stores gradients and need not clear and add.
 */
final class DjlLayer implements Peer {
  private final Workload.Layer layer;
  private final LayerValues values;
  private final NDManager manager = NDManager.newBaseManager();
  private final NDArray gate;
  private final NDArray[] w1;
  private final NDArray[] w2;
  private final NDArray x;
  private final NDArray dy;

  /** Holds the gradients of the latest pass. */
  private NDManager pass = manager.newSubManager();

  DjlLayer(Workload.Layer layer) {
    this.layer = layer;
    values = new LayerValues(layer);
    gate = Djl.create(manager, values.gate(), layer.experts(), layer.width());
    w1 = new NDArray[layer.experts()];
    w2 = new NDArray[layer.experts()];
    for (int expert = 0; expert < layer.experts(); expert++) {
      w1[expert] = Djl.create(manager, values.w1(expert), layer.hidden(), layer.width());
      w2[expert] = Djl.create(manager, values.w2(expert), layer.width(), layer.hidden());
    }
    x = Djl.create(manager, values.x(), layer.tokens(), layer.width());
    dy = Djl.create(manager, values.dy(), layer.tokens(), layer.width());
  }

  /** The weights and the input of one pass. */
  @SuppressWarnings("ArrayRecordComponent") // of one array for each expert, never compared
  private record Leaves(NDArray gate, NDArray[] w1, NDArray[] w2, NDArray x) {}

  private static NDArray leaf(NDManager manager, NDArray array) {
    NDArray leaf = array.stopGradient();
    leaf.attach(manager);
    leaf.setRequiresGradient(true);
    return leaf;
  }

  private static NDArray[] leaves(NDManager manager, NDArray[] arrays) {
    NDArray[] leaves = new NDArray[arrays.length];
    for (int i = 0; i < arrays.length; i++) {
      leaves[i] = leaf(manager, arrays[i]);
    }
    return leaves;
  }

  private NDArray forward(NDManager scope, Leaves in) {
    int k = layer.k();
    NDArray input = in.x();
    NDList top = product(input, in.gate()).topK(k, 1, true, true);
    NDArray gates = top.get(0).softmax(1).reshape(layer.tokens(), 1, k);

    long[] chosen = top.get(1).flatten().toLongArray();
    int[] first = new int[layer.experts() + 1];
    for (long expert : chosen) {
      first[(int) expert + 1]++;
    }
    for (int expert = 0; expert < layer.experts(); expert++) {
      first[expert + 1] += first[expert];
    }
    int[] next = first.clone();
    long[] rows = new long[chosen.length];
    long[] slots = new long[chosen.length];
    for (int pair = 0; pair < chosen.length; pair++) {
      int slot = next[(int) chosen[pair]]++;
      rows[slot] = pair / k;
      slots[pair] = slot;
    }

    NDArray gathered = gather(input, scope.create(rows));
    int[] used = used(first);
    long[] borders = new long[used.length - 1];
    for (int i = 1; i < used.length; i++) {
      borders[i - 1] = first[used[i]];
    }
    NDList parts = gathered.split(borders, 0);
    NDList outputs = new NDList();
    for (int i = 0; i < used.length; i++) {
      NDArray hidden = Activation.relu(product(parts.get(i), in.w1()[used[i]]));
      outputs.add(product(hidden, in.w2()[used[i]]));
    }
    NDArray answers = gather(NDArrays.concat(outputs, 0), scope.create(slots));
    return gates
        .matMul(answers.reshape(layer.tokens(), k, layer.width()))
        .reshape(layer.tokens(), layer.width());
  }

  /** The experts that got a token. */
  private static int[] used(int[] first) {
    return IntStream.range(0, first.length - 1)
        .filter(expert -> first[expert] < first[expert + 1])
        .toArray();
  }

  /** a · weightᵀ */
  private static NDArray product(NDArray a, NDArray weight) {
    return Linear.linear(a, weight).singletonOrThrow();
  }

  private static NDArray gather(NDArray matrix, NDArray rows) {
    return Embedding.embedding(rows, matrix, SparseFormat.DENSE).singletonOrThrow();
  }

  @Override
  public String version() {
    return Djl.version();
  }

  @Override
  public void run(Task task) {
    switch (task) {
      case FORWARD -> infer();
      case FORWARD_BACKWARD -> forwardBackward();
      case STEP -> throw new IllegalArgumentException("a layer has no training step");
    }
  }

  /** Without a collector nothing is recorded. */
  private float[] infer() {
    try (NDManager scope = manager.newSubManager()) {
      NDArray input = x.stopGradient();
      input.attach(scope);
      NDArray y = forward(scope, new Leaves(gate, w1, w2, input));
      return y.toFloatArray();
    }
  }

  private Leaves forwardBackward() {
    pass.close();
    pass = manager.newSubManager();
    Leaves leaves = new Leaves(leaf(pass, gate), leaves(pass, w1), leaves(pass, w2), leaf(pass, x));
    try (NDManager scope = pass.newSubManager();
        GradientCollector collector = Engine.getInstance().newGradientCollector()) {
      leaves.x().attach(scope); // what is computed from it is freed with the scope
      NDArray y = forward(scope, leaves);
      collector.backward(y.mul(dy).sum());
      leaves.x().attach(pass);
    }
    return leaves;
  }

  @Override
  public void results(Task task, Results.Writer out) throws IOException {
    out.write("y", infer()); // forward + backward records the same calls
    if (task == Task.FORWARD) {
      return;
    }
    Leaves leaves = forwardBackward();
    Djl.writeGradient(out, "dx", leaves.x());
    Djl.writeGradient(out, "gradient of gate", leaves.gate());
    for (int expert : values.compared()) {
      Djl.writeGradient(out, "gradient of " + LayerValues.name(expert, "w1"), leaves.w1()[expert]);
      Djl.writeGradient(out, "gradient of " + LayerValues.name(expert, "w2"), leaves.w2()[expert]);
    }
  }

  @Override
  public void close() {
    manager.close();
  }
}
