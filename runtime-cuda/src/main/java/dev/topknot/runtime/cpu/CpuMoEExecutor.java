package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.program.LayerExecutor;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.MoEShape;
import dev.topknot.runtime.program.Program;
import java.util.BitSet;
import java.util.function.Function;

/** A compiled layer that stands alone on the CPU. */
public final class CpuMoEExecutor extends CpuExecutor implements LayerExecutor {
  private final MoEShape shape;
  private final Function<CpuContext, CpuMoE> factory;
  private final CpuMoE layer;
  private final CpuProgram inference;
  private final Run inferenceRun;

  private CpuTensor input;
  private CpuTensor output;
  private long inputWrites;

  private CpuMoEExecutor(
      CpuDevice device,
      MoEShape shape,
      Options options,
      Layout layout,
      BitSet frozen,
      CpuMemory memory,
      Function<CpuContext, CpuMoE> factory) {
    super(device, options, layout, frozen, memory);
    this.shape = shape;
    this.factory = factory;
    this.layer = factory.apply(context);
    if (hasGradients()) {
      training = layer.train(programContext(Program.TRAIN));
      run = run(Program.TRAIN, training);
    }
    inference = layer.infer(programContext(Program.EVALUATE));
    inferenceRun = run(Program.EVALUATE, inference);
  }

  /** Takes all memory and builds all programs of a layer; parameters are zero. */
  public static LayerExecutor open(
      CpuDevice device,
      MoEShape shape,
      Layout layout,
      Options options,
      BitSet frozen,
      Function<CpuContext, CpuMoE> factory) {
    CpuMemory memory = CpuMemory.training(layout, shape.optimizer());
    return open(device, shape, layout, options, frozen, memory, factory);
  }

  private static LayerExecutor open(
      CpuDevice device,
      MoEShape shape,
      Layout layout,
      Options options,
      BitSet frozen,
      CpuMemory memory,
      Function<CpuContext, CpuMoE> factory) {
    try {
      return new CpuMoEExecutor(device, shape, options, layout, frozen, memory, factory);
    } catch (Throwable t) {
      memory.close();
      throw t;
    }
  }

  private CpuContext programContext(Program program) {
    return context.with(memory.allocate(layer.workspace(program)), null);
  }

  private Run run(Program kind, CpuProgram program) {
    return new Run(shape.tokens(), layout, frozen, device.clock(kind, program));
  }

  @Override
  public LayerExecutor inference() {
    return open(device, shape, layout, options, frozen, memory.inference(layout), factory);
  }

  @Override
  public void requireUsable(String name, Tensor tensor) {
    if (!(tensor instanceof CpuTensor own)) {
      throw new IllegalArgumentException(
          name + " must be on the CPU, but is on " + tensor.device());
    }
    if (!own.isOpen()) {
      throw new IllegalStateException(name + " is closed");
    }
  }

  @Override
  public boolean overlap(Tensor a, Tensor b) {
    return ((CpuTensor) a).matrix().overlaps(((CpuTensor) b).matrix());
  }

  @Override
  public boolean overlapsInput(Tensor tensor) {
    return overlap(input, tensor);
  }

  @Override
  public void forward(Tensor x, Tensor y, long step, long seed, int firstToken) {
    input = (CpuTensor) x;
    output = (CpuTensor) y;
    inputWrites = input.writes();
    Matrix in = input.matrix();
    run.train((int) in.rows(), step, seed, firstToken);
    run.operands(in, output.written());
    training.forward(run);
    run.end();
  }

  @Override
  public void requireUnchangedInput() {
    if (input == null || !input.isOpen() || input.writes() != inputWrites) {
      throw new IllegalStateException(
          "x was "
              + (input.isOpen() ? "written to" : "closed")
              + " between forward and backward, which needs it as it was");
    }
  }

  @Override
  public void backward(Tensor dy, Tensor dx, boolean add) {
    run.add(add);
    run.gradients(((CpuTensor) dy).matrix(), ((CpuTensor) dx).written());
    training.backward(run);
    run.end();
  }

  @Override
  public void infer(Tensor x, Tensor y) {
    Matrix in = ((CpuTensor) x).matrix();
    inferenceRun.infer((int) in.rows());
    inferenceRun.operands(in, ((CpuTensor) y).written());
    inference.forward(inferenceRun);
    inferenceRun.end();
  }

  @Override
  String nonFiniteInForward(boolean inGradients) {
    if (!input.isOpen() || !output.isOpen() || input.writes() != inputWrites) {
      return null; // the user has moved on: what was computed cannot be computed again
    }
    Matrix x = run.x();
    return x.isFinite(0, x.size()) ? run.diagnose(training) : "x";
  }
}
