package dev.topknot.runtime.cuda;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.program.LayerExecutor;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.MoEShape;
import dev.topknot.runtime.program.Program;
import java.util.BitSet;
import java.util.function.Function;

/** A compiled layer that stands alone on a CUDA device. */
public final class CudaMoEExecutor extends CudaExecutor implements LayerExecutor {
  private final MoEShape shape;
  private final Function<CudaContext, CudaMoE> factory;
  private final CudaMoE layer;
  private final CudaProgram inference;
  private final CudaRun inferenceRun;
  private final Launches inferenceLaunches;

  private CudaTensor input;
  private CudaTensor output;
  private long inputWrites;

  private CudaMoEExecutor(
      CudaDevice device,
      MoEShape shape,
      Options options,
      Layout layout,
      BitSet frozen,
      CudaMemory memory,
      Function<CudaContext, CudaMoE> factory) {
    super(device, options, layout, frozen, memory);
    this.shape = shape;
    this.factory = factory;
    this.layer = factory.apply(context);
    long module = memory.module(new KernelSource(layout.spec(), layer::kernels));
    if (hasGradients()) {
      training = layer.train(programContext(Program.TRAIN));
      run = new CudaRun(memory, 0);
      launches = new Launches(driver, module, layout.spec(), run);
    }
    inference = layer.infer(programContext(Program.EVALUATE));
    inferenceRun = new CudaRun(memory, 0);
    inferenceLaunches = new Launches(driver, module, layout.spec(), inferenceRun);
  }

  /** Takes all memory and builds all programs of a layer; parameters are zero. */
  public static LayerExecutor open(
      CudaDevice device,
      MoEShape shape,
      Layout layout,
      Options options,
      BitSet frozen,
      Function<CudaContext, CudaMoE> factory) {
    CudaMemory memory = trainingMemory(device, layout, shape.optimizer());
    return open(device, shape, layout, options, frozen, memory, factory);
  }

  private static LayerExecutor open(
      CudaDevice device,
      MoEShape shape,
      Layout layout,
      Options options,
      BitSet frozen,
      CudaMemory memory,
      Function<CudaContext, CudaMoE> factory) {
    return opened(
        device,
        layout,
        memory,
        () -> new CudaMoEExecutor(device, shape, options, layout, frozen, memory, factory));
  }

  private CudaContext programContext(Program program) {
    return context.with(
        memory.allocate(layer.workspace(program)), memory.allocate(layer.scratch(program)), null);
  }

  @Override
  public LayerExecutor inference() {
    return open(device, shape, layout, options, frozen, memory.inference(layout), factory);
  }

  @Override
  public void requireUsable(String name, Tensor tensor) {
    if (!(tensor instanceof CudaTensor own) || tensor.device() != device) {
      throw new IllegalArgumentException(
          name + " must be on " + device + ", but is on " + tensor.device());
    }
    if (!own.isOpen()) {
      throw new IllegalStateException(name + " is closed");
    }
  }

  @Override
  public boolean overlap(Tensor a, Tensor b) {
    return ((CudaTensor) a).overlaps((CudaTensor) b);
  }

  @Override
  public boolean overlapsInput(Tensor tensor) {
    return overlap(input, tensor);
  }

  @Override
  public void forward(Tensor x, Tensor y, long step, long seed, int firstToken) {
    input = (CudaTensor) x;
    output = (CudaTensor) y;
    inputWrites = input.writes();
    launches.operands(input.address(), output.written());
    run.record().train(rows(x), step, seed, firstToken);
    named(
        "the forward pass",
        () -> {
          run.uploadRecord();
          training.forward(launches);
          driver.synchronize();
        });
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
    launches.gradients(((CudaTensor) dy).address(), ((CudaTensor) dx).written());
    run.record().begin(false);
    run.record().add(add);
    named(
        "the backward pass",
        () -> {
          run.uploadRecord();
          training.backward(launches);
          driver.synchronize();
        });
  }

  @Override
  public void infer(Tensor x, Tensor y) {
    inferenceLaunches.operands(((CudaTensor) x).address(), ((CudaTensor) y).written());
    inferenceRun.record().infer(rows(x));
    named(
        "inference",
        () -> {
          inferenceRun.uploadRecord();
          inference.forward(inferenceLaunches);
          driver.synchronize();
        });
  }

  private static int rows(Tensor x) {
    return (int) x.shape()[0];
  }

  @Override
  String nonFiniteInForward(boolean inGradients) {
    if (!input.isOpen() || !output.isOpen() || input.writes() != inputWrites) {
      return null; // the user has moved on: what was computed cannot be computed again
    }
    return input.isFinite(0, input.size())
        ? diagnose(training, launches, run, shape.tokens())
        : "x";
  }
}
