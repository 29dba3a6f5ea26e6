package dev.topknot.runtime.cuda;

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
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * A compiled language model on a CUDA device. All addresses are the same in every call, so each
 * kind of call is captured as a graph at its first use and replayed from then on.
 */
public final class CudaModelExecutor extends CudaExecutor implements ModelExecutor {
  private final ModelShape shape;
  private final Function<CudaContext, CudaModel> factory;
  private final CudaModel model;
  private final Map<String, Long> graphs = new HashMap<>();

  private final CudaArena trainingState;
  private final CudaArena keptState;
  private final CudaArena evaluationState;
  private final CudaProgram evaluation;
  private final CudaRun evaluationRun;
  private final Launches evaluationLaunches;
  private final CudaArena generationState;
  private final CudaProgram generation;
  private final CudaRun generationRun;
  private final Launches generationLaunches;

  private CudaModelExecutor(
      CudaDevice device,
      ModelShape shape,
      Options options,
      Layout layout,
      BitSet frozen,
      CudaMemory memory,
      Function<CudaContext, CudaModel> factory) {
    super(device, options, layout, frozen, memory);
    this.shape = shape;
    this.factory = factory;
    this.model = factory.apply(context);
    long module = memory.module(new KernelSource(layout.spec(), model::kernels));
    if (hasGradients()) {
      trainingState = memory.zeros(model.state(Program.TRAIN));
      keptState = memory.zeros(trainingState.size());
      training = model.train(programContext(Program.TRAIN, trainingState));
      run = new CudaRun(memory, shape.tokens());
      launches = new Launches(driver, module, layout.spec(), run);
    } else {
      trainingState = null;
      keptState = null;
    }
    evaluationState = memory.zeros(model.state(Program.EVALUATE));
    evaluation = model.evaluate(programContext(Program.EVALUATE, evaluationState));
    evaluationRun = new CudaRun(memory, shape.tokens());
    evaluationLaunches = new Launches(driver, module, layout.spec(), evaluationRun);
    generationState = memory.zeros(model.state(Program.GENERATE));
    generation = model.generate(programContext(Program.GENERATE, generationState));
    generationRun = new CudaRun(memory, 1);
    generationLaunches = new Launches(driver, module, layout.spec(), generationRun);
  }

  /** Takes all memory and builds all programs of a model; parameters are zero. */
  public static ModelExecutor open(
      CudaDevice device,
      ModelShape shape,
      Layout layout,
      Options options,
      BitSet frozen,
      Function<CudaContext, CudaModel> factory) {
    CudaMemory memory = trainingMemory(device, layout, shape.optimizer());
    return open(device, shape, layout, options, frozen, memory, factory);
  }

  private static ModelExecutor open(
      CudaDevice device,
      ModelShape shape,
      Layout layout,
      Options options,
      BitSet frozen,
      CudaMemory memory,
      Function<CudaContext, CudaModel> factory) {
    return opened(
        device,
        layout,
        memory,
        () -> new CudaModelExecutor(device, shape, options, layout, frozen, memory, factory));
  }

  private CudaContext programContext(Program program, CudaArena state) {
    return context.with(
        memory.allocate(model.workspace(program)), memory.allocate(model.scratch(program)), state);
  }

  /** Replays the launches of a kind of call, which the first call records. */
  private void launch(String call, Runnable recorded) {
    if (Launches.WAIT) {
      recorded.run();
    } else {
      driver.replay(graphs.computeIfAbsent(call, first -> memory.graph(recorded)));
    }
  }

  @Override
  public ModelExecutor inference() {
    return open(device, shape, layout, options, frozen, memory.inference(layout), factory);
  }

  @Override
  public Outcome step(Batch batch, long step, long seed, Update update) {
    slices.upload();
    RunRecord record = run.record();
    record.train(batch.valid(), step, seed, 0);
    record.update(constants(update), step, slices.any());
    record.add(false);
    record.begin(true);
    run.ids(batch);
    named(
        "the step",
        () -> {
          run.upload();
          launch("step", this::wholeStep);
          run.read();
        });
    return new Outcome(record.loss(), record.status() == 1 ? Double.NaN : record.norm());
  }

  private void wholeStep() {
    training.forward(launches);
    training.backward(launches);
    training.norm(launches);
    training.update(launches);
    training.commit(launches);
  }

  @Override
  public double forward(Batch batch, long step, long seed, int firstToken) {
    run.record().train(batch.valid(), step, seed, firstToken);
    run.ids(batch);
    named(
        "the forward pass",
        () -> {
          run.upload();
          launch("forward", () -> training.forward(launches));
          run.read();
        });
    return run.record().loss();
  }

  @Override
  public void backward(boolean add) {
    run.record().begin(false);
    run.record().add(add);
    named(
        "the backward pass",
        () -> {
          run.uploadRecord();
          launch("backward", () -> training.backward(launches));
          driver.synchronize();
        });
  }

  @Override
  public void commit() {
    launch("commit", () -> training.commit(launches));
  }

  @Override
  public void keepState() {
    driver.copy(keptState.at(0), trainingState.at(0), Float.BYTES * trainingState.size());
  }

  @Override
  public void restoreState() {
    driver.copy(trainingState.at(0), keptState.at(0), Float.BYTES * trainingState.size());
  }

  @Override
  public Tensor state() {
    return all(trainingState);
  }

  @Override
  public void startEvaluation() {
    driver.fill(evaluationState.at(0), 0, evaluationState.size());
  }

  @Override
  public double evaluate(Batch batch) {
    evaluationRun.record().infer(batch.valid());
    evaluationRun.ids(batch);
    named(
        "evaluation",
        () -> {
          evaluationRun.upload();
          launch("evaluate", () -> evaluation.forward(evaluationLaunches));
          evaluationRun.read();
        });
    requireRoom(evaluation, evaluationRun);
    double loss = evaluationRun.record().loss();
    if (Double.isFinite(loss)) {
      launch("carry on evaluation", () -> evaluation.commit(evaluationLaunches));
    }
    return loss;
  }

  @Override
  public String firstNonFiniteInEvaluation() {
    String name = nonFiniteParameter();
    if (name == null) {
      name = diagnose(evaluation, evaluationLaunches, evaluationRun, shape.tokens());
    }
    return name == null ? "the loss" : name;
  }

  @Override
  public List<Balance> evaluationBalances() {
    return balances(evaluation);
  }

  @Override
  public List<Routing> evaluationRoutings(int valid) {
    List<Routing> routings = new ArrayList<>();
    for (Chosen chosen : evaluation.chosen()) {
      int[] experts = new int[valid * chosen.k()];
      float[] gates = new float[experts.length];
      read(chosen.experts(), experts.length).asIntBuffer().get(experts);
      read(chosen.gates(), gates.length).asFloatBuffer().get(gates);
      routings.add(new Routing(chosen.layer(), chosen.k(), experts, gates));
    }
    return routings;
  }

  @Override
  public void startGeneration() {
    driver.fill(generationState.at(0), 0, generationState.size());
    generationRun.record().infer(1);
  }

  @Override
  public void next(int token, float[] probabilities) {
    generationRun.record().begin(false);
    generationRun.id(token);
    named(
        "generation",
        () -> {
          generationRun.upload();
          launch("generate", this::readOneToken);
          read(generation.probabilities(), probabilities.length).asFloatBuffer().get(probabilities);
        });
  }

  private void readOneToken() {
    generation.forward(generationLaunches);
    generation.commit(generationLaunches);
  }

  @Override
  String nonFiniteInForward(boolean inGradients) {
    if (inGradients) {
      return null; // its loss was finite, and its state may have been carried on
    }
    CudaTensor state = all(trainingState);
    return state.isFinite(0, state.size())
        ? diagnose(training, launches, run, shape.tokens())
        : "the carried state";
  }
}
