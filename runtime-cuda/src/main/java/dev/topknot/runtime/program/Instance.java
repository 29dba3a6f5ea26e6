package dev.topknot.runtime.program;

import dev.topknot.dsl.Precision;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.EvaluationOverflowException;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.cpu.CpuDevice;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What the fronts of models and layers share: who may call, parameters, layers and freezing. */
final class Instance {
  private static final Logger LOG = LoggerFactory.getLogger(Instance.class);

  /** Specifications that run on the CPU in more than their precision, and whose users know. */
  private static final Set<String> MORE_PRECISE = ConcurrentHashMap.newKeySet();

  final Layout layout;
  final Executor executor;
  final Guard guard;
  final BitSet frozen;
  final List<Parameter> parameters;

  Instance(Layout layout, Executor executor, BitSet frozen) {
    this.layout = layout;
    this.executor = executor;
    this.guard = new Guard(layout.spec());
    this.frozen = frozen;
    List<Parameter> all = new ArrayList<>();
    for (int i = 0; i < layout.slices().size(); i++) {
      all.add(new SliceParameter(i));
    }
    this.parameters = List.copyOf(all);
  }

  /**
   * The CPU, or an exception that says what a specification is compiled for. It computes in fp32
   * whatever the precision; the log says so once for each specification that wants less.
   */
  static CpuDevice cpu(Device device, Layout layout, Precision precision) {
    if (device instanceof CpuDevice cpu) {
      if (precision != Precision.FP32 && MORE_PRECISE.add(layout.spec())) {
        LOG.info(
            "{}: precision = {} is for GPUs; on the CPU its products are in fp32",
            layout.spec(),
            precision);
      }
      return cpu;
    }
    throw new IllegalArgumentException(
        layout.spec() + " is compiled for the CPU and for CUDA, but the device is " + device);
  }

  /** Closes what was opened when it cannot be finished. */
  static <E extends Executor> E initialised(E executor, long seed) {
    try {
      executor.initialise(seed);
      return executor;
    } catch (Throwable t) {
      executor.close();
      throw t;
    }
  }

  /** Runs on the calling thread, as the only one inside. */
  <T> T inside(Supplier<T> body) {
    guard.enter();
    try {
      return body.get();
    } finally {
      guard.leave();
    }
  }

  /**
   * Why thresholds chose too many: a NaN exceeds each, so a parameter that is one is the reason.
   */
  RuntimeException reason(EvaluationOverflowException overflow, long step) {
    String parameter = executor.nonFiniteParameter();
    return parameter == null
        ? overflow
        : new NonFiniteException("a gate value", Double.NaN, step, parameter);
  }

  /** Fails in an instance for inference. */
  void requireTraining(String operation) {
    if (!executor.hasGradients()) {
      throw new IllegalStateException(
          operation
              + ": this instance of "
              + layout.spec()
              + " is for inference and shares the parameters of another; use that one");
    }
  }

  /** Fails in an instance for inference, and where there are no moments. */
  void requireUpdates() {
    requireTraining("update");
    if (!executor.hasMoments()) {
      throw new UnsupportedOperationException(
          layout.spec() + " is compiled with optimizer = NONE: it has no update");
    }
  }

  /** The layers in order. */
  List<Layer> layers() {
    List<Layer> layers = new ArrayList<>();
    for (String name : layout.layers()) {
      layers.add(new LayerHandle(name, parametersOf(name)));
    }
    return List.copyOf(layers);
  }

  /** Closes once. */
  void close() {
    if (guard.close()) {
      executor.close();
    }
  }

  private List<Parameter> parametersOf(String layer) {
    List<Parameter> own = new ArrayList<>();
    for (int i = 0; i < layout.slices().size(); i++) {
      if (layout.slices().get(i).layer().equals(layer)) {
        own.add(parameters.get(i));
      }
    }
    return List.copyOf(own);
  }

  private record LayerHandle(String name, List<Parameter> parameters) implements Layer {}

  /** One slice of the layout as users see it. */
  private final class SliceParameter implements Parameter {
    private final int index;

    SliceParameter(int index) {
      this.index = index;
    }

    private Layout.Slice slice() {
      return layout.slices().get(index);
    }

    @Override
    public String name() {
      return slice().name();
    }

    @Override
    public long[] shape() {
      return slice().shape();
    }

    @Override
    public Tensor value() {
      guard.requireOpen();
      return executor.parameter(slice());
    }

    @Override
    public Tensor gradient() {
      guard.requireOpen();
      requireTraining("gradient");
      return executor.gradient(slice());
    }

    @Override
    public boolean frozen() {
      return inside(() -> frozen.get(index));
    }

    @Override
    public void freeze(boolean freeze) {
      inside(
          () -> {
            requireTraining("freeze");
            frozen.set(index, freeze);
            return null;
          });
    }

    @Override
    public String toString() {
      return slice().name() + " " + slice().shapeText();
    }
  }
}
