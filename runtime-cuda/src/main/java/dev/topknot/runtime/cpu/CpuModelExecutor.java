package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Routing;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.ModelExecutor;
import dev.topknot.runtime.program.ModelShape;
import dev.topknot.runtime.program.Program;
import java.util.BitSet;
import java.util.List;
import java.util.function.Function;

/** A compiled language model on the CPU. */
public final class CpuModelExecutor extends CpuExecutor implements ModelExecutor {
  private final ModelShape shape;
  private final Function<CpuContext, CpuModel> factory;
  private final CpuModel model;

  private final Arena trainingState;
  private final Arena keptState;
  private final Arena evaluationState;
  private final CpuProgram evaluation;
  private final Run evaluationRun;
  private final Arena generationState;
  private final CpuProgram generation;
  private final Run generationRun;
  private final Ints generated;

  private CpuModelExecutor(
      CpuDevice device,
      ModelShape shape,
      Options options,
      Layout layout,
      BitSet frozen,
      CpuMemory memory,
      Function<CpuContext, CpuModel> factory) {
    super(device, options, layout, frozen, memory);
    this.shape = shape;
    this.factory = factory;
    this.model = factory.apply(context);
    if (hasGradients()) {
      trainingState = memory.allocate(model.state(Program.TRAIN));
      keptState = memory.allocate(trainingState.size());
      training = model.train(programContext(Program.TRAIN, trainingState));
      run = run(Program.TRAIN, training, shape.tokens());
    } else {
      trainingState = null;
      keptState = null;
    }
    evaluationState = memory.allocate(model.state(Program.EVALUATE));
    evaluation = model.evaluate(programContext(Program.EVALUATE, evaluationState));
    evaluationRun = run(Program.EVALUATE, evaluation, shape.tokens());
    generationState = memory.allocate(model.state(Program.GENERATE));
    generation = model.generate(programContext(Program.GENERATE, generationState));
    generationRun = run(Program.GENERATE, generation, 1);
    generated = generationRun.inputs();
  }

  /** Takes all memory and builds all programs of a model; parameters are zero. */
  public static ModelExecutor open(
      CpuDevice device,
      ModelShape shape,
      Layout layout,
      Options options,
      BitSet frozen,
      Function<CpuContext, CpuModel> factory) {
    CpuMemory memory = CpuMemory.training(layout, shape.optimizer());
    return open(device, shape, layout, options, frozen, memory, factory);
  }

  private static ModelExecutor open(
      CpuDevice device,
      ModelShape shape,
      Layout layout,
      Options options,
      BitSet frozen,
      CpuMemory memory,
      Function<CpuContext, CpuModel> factory) {
    try {
      return new CpuModelExecutor(device, shape, options, layout, frozen, memory, factory);
    } catch (Throwable t) {
      memory.close();
      throw t;
    }
  }

  private CpuContext programContext(Program program, Arena state) {
    return context.with(memory.allocate(model.workspace(program)), state);
  }

  private Run run(Program kind, CpuProgram program, int tokens) {
    Arena ids = memory.allocate(2L * tokens);
    Run result = new Run(tokens, layout, frozen, device.clock(kind, program));
    result.operands(ids.ints(0, tokens), ids.ints(tokens, tokens));
    return result;
  }

  @Override
  public ModelExecutor inference() {
    return open(device, shape, layout, options, frozen, memory.inference(layout), factory);
  }

  @Override
  public Outcome step(Batch batch, long step, long seed, Update update) {
    double loss = forward(batch, step, seed, 0);
    if (!Double.isFinite(loss)) {
      return new Outcome(loss, Double.NaN);
    }
    backward(false);
    double norm = norm();
    if (Double.isFinite(norm)) {
      update(update, step);
      commit();
    }
    return new Outcome(loss, norm);
  }

  @Override
  public double forward(Batch batch, long step, long seed, int firstToken) {
    run.train(batch.valid(), step, seed, firstToken);
    return forward(training, run, batch);
  }

  private static double forward(CpuProgram program, Run run, Batch batch) {
    run.inputs().write(0, batch.inputs(), 0, batch.valid());
    run.targets().write(0, batch.targets(), 0, batch.valid());
    program.forward(run);
    run.end();
    return run.lossSum();
  }

  @Override
  public void backward(boolean add) {
    run.add(add);
    training.backward(run);
    run.end();
  }

  @Override
  public void commit() {
    training.commit(run);
    run.end();
  }

  @Override
  public void keepState() {
    all(keptState).copyFrom(all(trainingState));
  }

  @Override
  public void restoreState() {
    all(trainingState).copyFrom(all(keptState));
  }

  @Override
  public Tensor state() {
    return new CpuTensor(
        device, trainingState.matrix(0, trainingState.size(), 1), null, trainingState.size());
  }

  @Override
  public void startEvaluation() {
    all(evaluationState).fill(0);
  }

  @Override
  public double evaluate(Batch batch) {
    evaluationRun.infer(batch.valid());
    double loss = forward(evaluation, evaluationRun, batch);
    if (Double.isFinite(loss)) {
      evaluation.commit(evaluationRun);
      evaluationRun.end();
    }
    return loss;
  }

  @Override
  public String firstNonFiniteInEvaluation() {
    String name = nonFiniteParameter();
    if (name == null) {
      name = evaluationRun.diagnose(evaluation);
    }
    return name == null ? "the loss" : name;
  }

  @Override
  public List<Balance> evaluationBalances() {
    return evaluation.balances(evaluationRun);
  }

  @Override
  public List<Routing> evaluationRoutings(int valid) {
    return evaluation.routings(evaluationRun);
  }

  @Override
  public void startGeneration() {
    all(generationState).fill(0);
    generationRun.infer(1);
  }

  @Override
  public void next(int token, float[] probabilities) {
    generated.set(0, token);
    generation.forward(generationRun);
    generation.commit(generationRun);
    generationRun.end();
    generation.probabilities().read(0, probabilities, 0, probabilities.length);
  }

  @Override
  String nonFiniteInForward(boolean inGradients) {
    if (inGradients) {
      return null; // its loss was finite, and its state has been carried on
    }
    Matrix state = all(trainingState);
    return state.isFinite(0, state.size()) ? run.diagnose(training) : "the carried state";
  }
}
