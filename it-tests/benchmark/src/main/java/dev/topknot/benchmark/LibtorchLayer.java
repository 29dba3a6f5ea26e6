package dev.topknot.benchmark;

import static org.bytedeco.pytorch.global.torch.bmm_out;
import static org.bytedeco.pytorch.global.torch.empty;
import static org.bytedeco.pytorch.global.torch.index_select_out;
import static org.bytedeco.pytorch.global.torch.mm;
import static org.bytedeco.pytorch.global.torch.mm_out;
import static org.bytedeco.pytorch.global.torch.set_num_threads;
import static org.bytedeco.pytorch.global.torch.show_config;
import static org.bytedeco.pytorch.global.torch.softmax;
import static org.bytedeco.pytorch.global.torch.sum_out;
import static org.bytedeco.pytorch.global.torch.threshold_backward_out;
import static org.bytedeco.pytorch.global.torch.topk;
import static org.bytedeco.pytorch.global.torch.zeros;

import java.io.IOException;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;

/**
 * The same layer on libtorch, called directly. Forward and backward are written out and store into
 * tensors that stay: autograd, which would record, allocate and clear, is off. How the experts'
 * products are said is tried before anything is timed, and the fastest is taken for each task.
 */
final class LibtorchLayer implements Peer {
  private static final Pattern VERSION = Pattern.compile("TORCH_VERSION=([^,]+)");
  private static final Scalar ZERO = new Scalar(0f);
  private static final ScalarTypeOptional SAME_TYPE = new ScalarTypeOptional();

  private final Workload.Layer layer;
  private final LayerValues values;

  /** As long as it lives, this thread records nothing for autograd. */
  private final InferenceMode inference = new InferenceMode(true);

  private final LibtorchWeights weights;
  private final Tensor gateTransposed;

  /** One row more than tokens, of zeros: padding reads it. */
  private final Tensor x;

  /** As {@link #x}. */
  private final Tensor dy;

  private final Tensor y;
  private final Tensor dx;

  /** For each token's k pairs where their rows lie. */
  private final Tensor slotOfPair;

  private final Map<Task, LibtorchProducts> fastest = new EnumMap<>(Task.class);
  private Buffers buffers;

  LibtorchLayer(Workload.Layer layer, int threads) {
    this.layer = layer;
    set_num_threads(threads);
    values = new LayerValues(layer);
    weights = LibtorchWeights.of(layer);
    gateTransposed = weights.gate().t();
    x = zeros(layer.tokens() + 1, layer.width());
    dy = zeros(layer.tokens() + 1, layer.width());
    y = empty(layer.tokens(), layer.width());
    dx = empty(layer.tokens(), layer.width());
    slotOfPair = longs(layer.tokens() * layer.k());
    buffers = Buffers.of(layer, layer.tokens() * layer.k());
    LibtorchWeights.write(x, 0, values.x());
    LibtorchWeights.write(dy, 0, values.dy());
    List<LibtorchProducts> ways =
        List.of(
            new LibtorchProducts.Sorted(layer, weights),
            new LibtorchProducts.Padded(layer, weights));
    for (Task task : layer.tasks()) {
      fastest.put(task, Fastest.of(ways, way -> run(task, way)));
    }
  }

  private static Tensor longs(int size) {
    return empty(new long[] {size}, LibtorchWeights.LONG, null);
  }

  /** What passes keep their rows in. */
  private record Buffers(
      Tensor tokenOfRow, Tensor gathered, Tensor hidden, Tensor out, Tensor dOut, Tensor dHidden) {

    static Buffers of(Workload.Layer layer, int rows) {
      return new Buffers(
          longs(rows),
          empty(rows, layer.width()),
          empty(rows, layer.hidden()),
          empty(rows, layer.width()),
          empty(rows, layer.width()),
          empty(rows, layer.hidden()));
    }

    long rows() {
      return tokenOfRow.size(0);
    }

    List<Tensor> all() {
      return List.of(tokenOfRow, gathered, hidden, out, dOut, dHidden);
    }
  }

  /** Buffers of so many rows: the same ones, as long as the number stays. */
  private void resize(int rows) {
    if (buffers.rows() != rows) {
      buffers.all().forEach(Tensor::close);
      buffers = Buffers.of(layer, rows);
      buffers.all().forEach(Tensor::retainReference); // they outlive the scope of a pass
    }
  }

  /** The k experts of each token and their weights, both [tokens, k]. */
  private record Routing(Tensor chosen, Tensor gates) {}

  private Routing route(LibtorchProducts way) {
    T_TensorTensor_T top = topk(mm(tokens(x), gateTransposed), layer.k(), 1, true, true);
    Tensor chosen = top.get1();
    long[] experts = new long[layer.tokens() * layer.k()];
    new LongPointer(chosen.data_ptr()).get(experts);
    int[] counts = new int[layer.experts()];
    for (long expert : experts) {
      counts[(int) expert]++;
    }
    int[] next = way.begins(counts);
    long[] tokens = new long[next[counts.length]];
    long[] slots = new long[experts.length];
    Arrays.fill(tokens, layer.tokens());
    for (int pair = 0; pair < experts.length; pair++) {
      int slot = next[(int) experts[pair]]++;
      tokens[slot] = pair / layer.k();
      slots[pair] = slot;
    }
    resize(tokens.length);
    new LongPointer(buffers.tokenOfRow().data_ptr()).put(tokens);
    new LongPointer(slotOfPair.data_ptr()).put(slots);
    return new Routing(chosen, softmax(top.get0(), 1));
  }

  private Tensor tokens(Tensor padded) {
    return padded.narrow(0, 0, layer.tokens());
  }

  private Routing forward(LibtorchProducts way) {
    Routing routing = route(way);
    index_select_out(buffers.gathered(), x, 0, buffers.tokenOfRow());
    way.hidden(buffers.gathered(), buffers.hidden());
    way.out(buffers.hidden(), buffers.out());
    bmm_out(y.unsqueeze(1), routing.gates().unsqueeze(1), byToken(buffers.out()));
    return routing;
  }

  private void backward(LibtorchProducts way, Routing routing) {
    Tensor gates = routing.gates();
    index_select_out(buffers.dOut(), dy, 0, buffers.tokenOfRow());
    // Nothing but its gate needs an expert's output any more: from here its memory holds slopes.
    Tensor dGates =
        buffers
            .out()
            .mul_(buffers.dOut())
            .sum(1)
            .index_select(0, slotOfPair)
            .view(layer.tokens(), layer.k());
    Tensor gateOfRow = zeros(buffers.rows()).index_copy_(0, slotOfPair, gates.view(-1));
    buffers.dOut().mul_(gateOfRow.unsqueeze(1));

    way.backwardOut(buffers.dOut(), buffers.hidden(), buffers.dHidden());
    threshold_backward_out(buffers.dHidden(), buffers.dHidden(), buffers.hidden(), ZERO);
    Tensor dGathered = buffers.out();
    way.backwardHidden(buffers.dHidden(), buffers.gathered(), dGathered);

    Tensor mean = gates.mul(dGates).sum(new long[] {1}, true, SAME_TYPE);
    Tensor dChosen = dGates.sub(mean).mul_(gates);
    Tensor dLogits = zeros(layer.tokens(), layer.experts()).scatter_(1, routing.chosen(), dChosen);
    mm_out(weights.gateGradient(), dLogits.t(), tokens(x));
    sum_out(dx, byToken(dGathered), 1);
    dx.addmm_(dLogits, weights.gate());
  }

  /** Of rows that lie expert by expert those of each token, [tokens, k, width]. */
  private Tensor byToken(Tensor rows) {
    return rows.index_select(0, slotOfPair).view(layer.tokens(), layer.k(), layer.width());
  }

  @SuppressWarnings("try") // closed, never called: it frees what the pass made
  private void run(Task task, LibtorchProducts way) {
    try (PointerScope scope = new PointerScope()) {
      Routing routing = forward(way);
      if (task == Task.FORWARD_BACKWARD) {
        backward(way, routing);
      }
    }
  }

  @Override
  public String version() {
    Matcher version = VERSION.matcher(show_config().getString());
    return Side.LIBTORCH + (version.find() ? " " + version.group(1) : "");
  }

  @Override
  public void run(Task task) {
    run(task, fastest.get(task));
  }

  @Override
  public String way(Task task) {
    return fastest.get(task).toString();
  }

  @Override
  public void results(Task task, Results.Writer out) throws IOException {
    int size = layer.tokens() * layer.width();
    run(task);
    out.write("y", LibtorchWeights.read(y, 0, size));
    if (task == Task.FORWARD) {
      return;
    }
    out.write("dx", LibtorchWeights.read(dx, 0, size));
    out.write(
        "gradient of gate",
        LibtorchWeights.read(weights.gateGradient(), 0, layer.experts() * layer.width()));
    int matrix = layer.hidden() * layer.width();
    for (int expert : values.compared()) {
      out.write(
          "gradient of " + LayerValues.name(expert, "w1"),
          LibtorchWeights.read(weights.w1Gradient(), expert, matrix));
      out.write(
          "gradient of " + LayerValues.name(expert, "w2"),
          LibtorchWeights.read(weights.w2Gradient(), expert, matrix));
    }
  }

  @Override
  public void close() {
    inference.close();
  }
}
